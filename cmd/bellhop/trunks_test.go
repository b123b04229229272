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
