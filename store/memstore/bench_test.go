package memstore_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/store/memstore"
	"bellhop/store/storetest"
)

// BenchmarkDecideProvisioned decides calls to a hundred cached numbers, of as many
// as are provisioned: what it costs shall not depend on how many there are.
func BenchmarkDecideProvisioned(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { decideAmong(b, n) })
	}
}

func decideAmong(b *testing.B, n int) {
	b.Helper()
	st, err := memstore.New(memstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	defer func() { stop(); <-done }()
	apply := func(ws ...directory.Write) {
		if _, err := st.Apply(b.Context(), directory.Author{}, ws); err != nil {
			b.Fatal(err)
		}
	}
	apply(directory.Write{Ref: directory.Ref{Kind: directory.KindDomain, Name: storetest.Domain}, Body: []byte(`{"realm":"r","region":"DE"}`)})
	const first = 1_000_000
	ws := make([]directory.Write, 0, 10_000)
	for i := range n {
		if ws = append(ws, storetest.Put(directory.KindNumber, strconv.Itoa(first+i), `{}`)); len(ws) == cap(ws) || i == n-1 {
			apply(ws...)
			ws = ws[:0]
		}
	}
	const hot = 100
	visits := make([]routing.Visit, hot)
	for i := range visits {
		called, caller := strconv.Itoa(first+i*(n/hot)), strconv.Itoa(first+(i*(n/hot)+1)%n)
		aor, err := location.NewAOR(called, storetest.Domain)
		if err != nil {
			b.Fatal(err)
		}
		r := storetest.Register("desk-"+called, uint16(5060+i), 1) //nolint:gosec // small
		if _, _, err := st.Bindings.Register(b.Context(), aor, r); err != nil {
			b.Fatal(err)
		}
		visits[i] = routing.Visit{
			Origin: routing.OriginDevice, Method: "INVITE", Domain: storetest.Domain, Target: called,
			Caller: routing.Caller{Domain: storetest.Domain, Number: caller},
		}
	}
	w := routing.NewWorld(time.Now())
	load := func(need routing.Need, w *routing.World) error {
		if st.Cache.Cached(need, w) {
			return nil
		}
		return st.Cache.Load(b.Context(), need, w)
	}
	ask := func(i int) {
		w.Reset(w.Now)
		if _, _, err := routing.Resolve(w, visits[i%hot], load); err != nil && !errors.Is(err, routing.ErrUnresolved) {
			b.Fatal(err)
		}
	}
	for i := range hot { // from now on it is in memory
		ask(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		ask(i)
	}
}
