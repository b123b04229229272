package sqlstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// TestCallBackAfterRestart: an emergency call of the last hour is not forgotten
// with the process, one before that is.
func TestCallBackAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func() *sqlstore.Store {
		s, err := sqlstore.New(t.Context(), sqlstore.Options{File: filepath.Join(dir, "b.db"), Journal: filepath.Join(dir, "journal")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s := open()
	storetest.Provision(t, s)
	now := time.Now()
	ended := func(caller string, ago time.Duration, emergency ...string) {
		at := now.Add(-ago)
		c := &feed.Call{
			ID: s.Calls.NewID(at), Domain: storetest.Domain, CallID: caller, Caller: caller, Called: "112", State: feed.Ended,
			Started: at.Add(-time.Minute), EndedAt: at, Emergency: emergency,
		}
		if err := s.SaveRecords(t.Context(), []*feed.Call{c}); err != nil {
			t.Fatal(err)
		}
	}
	ended("1001", 10*time.Minute, "1001", "1002")
	ended("1003", 70*time.Minute, "1003")
	ended("1004", time.Minute)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	for number, want := range map[string]bool{"1001": true, "1002": true, "1003": false, "1004": false, "112": false} {
		u := s.Calls.Usage(storetest.Domain, number, now)
		if got := u.CallBack.After(now); got != want {
			t.Errorf("%s may be called back until %v", number, u.CallBack)
		}
		if want && u.CallBack.Sub(now).Round(time.Minute) != routing.CallBackTime-10*time.Minute {
			t.Errorf("%s may be called back until %v", number, u.CallBack)
		}
	}
}

// TestTwoNodesCallBack: a node that starts knows the emergency calls of others.
func TestTwoNodesCallBack(t *testing.T) {
	t.Parallel()
	url := server(t).Schema(t)
	one := open(t, at(url, t.TempDir(), 1))
	storetest.Provision(t, one)
	now := time.Now()
	c := &feed.Call{
		ID: one.Calls.NewID(now), Domain: storetest.Domain, CallID: "x", Caller: "1001", Called: "112", State: feed.Ended,
		Started: now, EndedAt: now, Emergency: []string{"1001"},
	}
	if err := one.SaveRecords(t.Context(), []*feed.Call{c}); err != nil {
		t.Fatal(err)
	}
	two := open(t, at(url, t.TempDir(), 2))
	if u := two.Calls.Usage(storetest.Domain, "1001", now); !u.CallBack.After(now) {
		t.Errorf("1001 may be called back until %v", u.CallBack)
	}
}
