package memstore_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/store/memstore"
	"bellhop/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, s *feed.Stream) storetest.Parts {
		t.Helper()
		m, err := memstore.New(memstore.Options{Feed: s})
		if err != nil {
			t.Fatal(err)
		}
		return storetest.Parts{Store: m, Bindings: m.Bindings, Calls: m.Calls, Cache: m.Cache}
	})
}

func TestBindingsExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := feed.NewStream(100)
		m, err := memstore.New(memstore.Options{Feed: s})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = m.Run(ctx) })
		a := storetest.AOR(t, "1001")
		r := storetest.Register("desk-1001", 5060, 1)
		r.Expires = location.In(600)
		if _, _, err := m.Bindings.Register(ctx, a, r); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Minute)
		r.CSeq = 2
		if _, ok, _ := m.Bindings.Begin(a, r, nil); !ok {
			t.Fatal("Begin did not refresh")
		}
		s.Drain(nil, 100)
		<-time.After(10*time.Minute - time.Second)
		if n := len(m.Bindings.Bindings(a)); n != 1 {
			t.Errorf("a second before the end: %d bindings, want 1", n)
		}
		<-time.After(time.Second)
		if n := len(m.Bindings.Bindings(a)); n != 0 {
			t.Errorf("at the end: %d bindings, want 0", n)
		}
		<-time.After(2 * time.Second)
		evs := s.Drain(nil, 10)
		if len(evs) != 1 || evs[0].(feed.RegistrationChanged).What != "expired" || m.Bindings.Len() != 0 {
			t.Errorf("after the end: told %+v, %d bindings, want one expired and none", evs, m.Bindings.Len())
		}
		cancel()
		wg.Wait()
	})
}
