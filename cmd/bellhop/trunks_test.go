//go:build e2e

package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"bellhop/feed"
)

// trunk makes a trunk with a carrier that SIPp plays, and gives it credentials.
func (h *house) trunk(t *testing.T, name string, carrier *phone, doc object) {
	t.Helper()
	doc["peers"] = []string{carrier.ip + ":" + carrier.port}
	h.put(t, "/trunks/"+name, doc)
	h.put(t, "/trunks/"+name+"/credentials", object{"username": "house", "password": "Carrier-4711"})
}

// status waits until a trunk is as it should be.
func (h *house) status(t *testing.T, name string, is func(s feed.TrunkStatus) bool) (s feed.TrunkStatus) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(50 * time.Millisecond) {
		if err := h.api.do(t.Context(), http.MethodGet, inDomain(demoDomain, "trunks", name, "status"), nil, &s); err != nil {
			t.Fatal(err)
		}
		if is(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("trunk %s: %+v", name, s)
		}
	}
}

// TestE2ETrunkChallenges: a carrier that challenges everything. Its 401 to OPTIONS
// is a sign of life; with it we register, by digest, take a call at the Contact
// that we registered, and take the registration back at the end.
func TestE2ETrunkChallenges(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	asked := h.phone(t, "house", "house")
	options := asked.start(t, "carrier-options")
	h.trunk(t, "asked", asked, object{"proof": "digest", "health_interval": "PT5S"})
	options.wait(t)
	h.status(t, "asked", func(s feed.TrunkStatus) bool { return s.Up && s.LastError == "" })

	carrier := h.phone(t, "house", "house")
	registrar := carrier.start(t, "carrier-register")
	h.trunk(t, "carrier", carrier, object{
		"proof": "register", "health": "off", "register": object{"registrar": "carrier.example", "username": "49891234", "expires": "PT30M"},
	})
	s := h.status(t, "carrier", func(s feed.TrunkStatus) bool { return !s.RegisteredUntil.IsZero() })
	if left := time.Until(s.RegisteredUntil); left < 29*time.Minute || left > 30*time.Minute {
		t.Errorf("registered for %v, want 30 min", left)
	}
	register := registrar.got(t, "REGISTER sip:carrier.example ")
	matches(t, register, "To", `^<sip:49891234@carrier\.example>$`)
	matches(t, register, "Authorization", `username="house".*qop=auth`)
	contact := regexp.MustCompile(`<(sip:[a-z2-7]{26}@[^>]*)>`).FindStringSubmatch(register)
	if contact == nil {
		t.Fatalf("no Contact in\n%s", register)
	}
	caller := h.phone(t, "carrier", "carrier") // from another port than it registers at
	caller.start(t, "carrier-call", "-s", "9999", "-key", "contact", contact[1]).wait(t)
	r := h.records(t, 1)[0]
	if r.Caller != "+49301234" || r.Called != "9999" || r.Status != 404 || !r.has("dial.unknown") {
		t.Errorf("record = %+v", r)
	}

	h.stop(t)
	registrar.wait(t)
	if gone := registrar.got(t, "REGISTER "); !strings.Contains(gone, "\nExpires: 0\n") {
		t.Errorf("the last REGISTER was\n%s", gone)
	}
}

// TestE2ECarrierRefused: a carrier reaches numbers inside, and nothing else.
func TestE2ECarrierRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	carrier := h.carrier(t, "carrier", nil)
	carrier.calls(t, "carrier-refused", "+49301234567").wait(t)
	carrier.calls(t, "carrier-refused", "desk-1001").wait(t)
}

// TestE2EFailover: a trunk that answers 503 fails over in under a second, and is
// left alone for its Retry-After; one that says nothing after four.
func TestE2EFailover(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		out := "+4930987654"
		t.Run("503", func(t *testing.T) {
			t.Parallel()
			h := open(t)
			h.person(t, caller, "cleo", nil)
			full := h.carrier(t, "first", object{"routes": []object{{"prefix": "+49", "priority": 1}}})
			free := h.carrier(t, "second", object{"routes": []object{{"prefix": "+49", "priority": 2}}})
			cleo := h.desk(t, caller)
			refuses, answer := full.start(t, "unavailable"), free.start(t, "answer", "-d", 50, "-m", 2)
			began := time.Now()
			cleo.calls(t, "call", out, "-d", 100).wait(t)
			refuses.wait(t)
			if d := time.Since(began); d > time.Second {
				t.Errorf("the call took %v, with 150 ms of ringing and talk", d)
			}
			cleo.calls(t, "call", out, "-d", 100).wait(t) // the first one rests: nobody is there who could answer
			answer.wait(t)
			for _, r := range h.records(t, 2) {
				want{caller, out, out, "", 200, "answered", []string{"dial.trunk"}}.equal(t, &r)
			}
		})
		t.Run("silence", func(t *testing.T) {
			t.Parallel()
			h := open(t)
			h.person(t, caller, "cleo", nil)
			first, second := h.peer(t, "+4930123", "first"), h.peer(t, "+4930123", "second")
			h.carrierAt(t, "carrier", []string{"127.0.0.1:" + first.port, "127.0.0.1:" + second.port}, nil)
			cleo := h.desk(t, caller)
			first.start(t, "silent", "-d", 20_000)
			answer := second.start(t, "answer", "-d", 50)
			began := time.Now()
			cleo.calls(t, "call", out, "-d", 100).wait(t)
			answer.wait(t)
			if d := time.Since(began); d < 3900*time.Millisecond || d > 6*time.Second {
				t.Errorf("the call took %v, want a little over four seconds", d)
			}
		})
	})
}

// TestE2EChallenged gives a carrier the credentials it asks for, and them alone.
func TestE2EChallenged(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.person(t, caller, "cleo", nil)
		carrier := h.carrier(t, "carrier", nil)
		h.put(t, "/trunks/carrier/credentials", object{"username": "bellhop", "password": "carrier-4711"})
		answer := carrier.start(t, "answer-challenged", "-d", 100)
		h.desk(t, caller).calls(t, "call", "+4930987654", "-d", 100).wait(t)
		answer.wait(t)
		invite := answer.got(t, "INVITE ")
		if n := len(field(invite, "Authorization")); n != 1 {
			t.Errorf("%d credentials for the carrier:\n%s", n, invite)
		}
		if strings.Contains(invite, `realm="bellhop.test"`) {
			t.Errorf("credentials of the caller went to the carrier:\n%s", invite)
		}
	})
}
