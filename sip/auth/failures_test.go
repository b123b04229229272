package auth_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/auth"
)

func TestFailuresAreSlowed(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"desk-1001", "nobody"} { // alike
		synctest.Test(t, func(t *testing.T) {
			a := newAuth(t, nil)
			check := func(user, secret string, flow location.Flow) auth.Kind {
				r := request{user: user, secret: secret, from: "<sip:" + user + "@" + dom + ">"}
				return a.Check(r.answer(t, challenge(t, a, flow)), flow, dom, realm, time.Now()).Kind
			}
			for i := range 5 {
				if got := check(user, "x", desk); got != auth.Challenge {
					t.Fatalf("%s, failure %d: %v, want challenge", user, i, got)
				}
			}
			if got := check(user, "x", desk); got != auth.Slow {
				t.Errorf("%s, one too many: %v, want slow", user, got)
			}
			if got := check("desk-1001", "", from("203.0.113.1:5060")); got != auth.Accepted {
				t.Errorf("the user from elsewhere: %v, want accepted", got)
			}
			if got := check("desk-1002", "", desk); got != auth.Accepted {
				t.Errorf("another user from there: %v, want accepted", got)
			}
			// Who only pretends to be there never counts: no nonce reaches him.
			for range 100 {
				r := request{user: "desk-1002", secret: "x", from: "<sip:1002@" + dom + ">"}
				a.Check(r.answer(t, challenge(t, a, from("203.0.113.1:5060"))), desk, dom, realm, time.Now())
			}
			if got := check("desk-1002", "", desk); got != auth.Accepted {
				t.Errorf("a user whom others pretend to be: %v, want accepted", got)
			}
			<-time.After(11 * time.Second)
			if got := check(user, "x", desk); got != auth.Challenge {
				t.Errorf("%s after a while: %v, want challenge", user, got)
			}
			if got := check(user, "x", desk); got != auth.Slow {
				t.Errorf("%s at once after that: %v, want slow", user, got)
			}
			<-time.After(2 * time.Minute)
			for i := range 5 {
				if got := check(user, "x", desk); got != auth.Challenge {
					t.Fatalf("%s, failure %d after a rest: %v, want challenge", user, i, got)
				}
			}
		})
	}
}

// One address of an IPv6 network is as good as another to an attacker.
func TestFailuresCountByNetwork(t *testing.T) {
	t.Parallel()
	a := newAuth(t, nil)
	now := time.Now()
	var got auth.Kind
	for i := range 6 {
		flow := from(fmt.Sprintf("[2001:db8::%x]:5060", i+1))
		got = a.Check(request{secret: "x"}.answer(t, challenge(t, a, flow)), flow, dom, realm, now).Kind
	}
	if got != auth.Slow {
		t.Errorf("sixth failure of a /64: %v, want slow", got)
	}
}

// A source that fails with many names is no longer looked up for.
func TestStrangersAreNotLookedUp(t *testing.T) {
	t.Parallel()
	store := directoryOfTests()
	a := newAuth(t, func(o *auth.Options) { o.Credentials = store })
	now := time.Now()
	var got auth.Kind
	for i := range 201 {
		user := fmt.Sprintf("guess-%d", i)
		req := request{user: user}.answer(t, challenge(t, a, desk))
		if got = a.Check(req, desk, dom, realm, now).Kind; got != auth.Missing {
			break
		}
		if err := a.Load(t.Context(), dom, user); err != nil {
			t.Fatal(err)
		}
		if got = a.Check(req, desk, dom, realm, now).Kind; got != auth.Challenge {
			t.Fatalf("unknown user: %v, want challenge", got)
		}
	}
	if got != auth.Slow {
		t.Errorf("after 200 names: %v, want slow", got)
	}
	if got := a.Check(request{}.answer(t, challenge(t, a, desk)), desk, dom, realm, now); got.Kind != auth.Accepted {
		t.Errorf("a known device behind the same address: %v, want accepted", got.Kind)
	}
}
