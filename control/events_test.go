package control_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/feed"
)

// An event as a client reads it.
type event struct{ id, name, data string }

// A stream is a client of GET /v1/events.
type stream struct {
	t    *testing.T
	res  *http.Response
	in   *bufio.Scanner
	stop context.CancelFunc
}

func (a *api) stream(who, query string, header ...string) *stream {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 20*time.Second)
	a.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.http.URL+"/v1/events"+query, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token[who])
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := a.http.Client().Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = res.Body.Close() })
	if ct := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || ct != "text/event-stream" {
		a.t.Fatalf("stream = %d %s", res.StatusCode, ct)
	}
	s := &stream{t: a.t, res: res, in: bufio.NewScanner(res.Body), stop: cancel}
	for s.in.Scan() && s.in.Text() != "retry: 2000" {
	}
	return s
}

// next reads the next event.
func (s *stream) next() event {
	s.t.Helper()
	var ev event
	for s.in.Scan() {
		switch name, value, _ := strings.Cut(s.in.Text(), ": "); name {
		case "id":
			ev.id = value
		case "event":
			ev.name = value
		case "data":
			ev.data = value
		case "":
			if ev.name != "" {
				return ev
			}
		}
	}
	s.t.Fatalf("the stream ended: %v", s.in.Err())
	return ev
}

func TestEventsAreScoped(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.settle()
	streams := map[string]*stream{}
	for _, who := range []string{"root", "ada", "zoe", "ana", "ben"} {
		streams[who] = a.stream(who, "")
	}
	publish := func(ev feed.Event) { a.store.stream.Publish(ev) }
	publish(feed.CallChanged{Call: call("c1", "1001", "1002")}) // ana calls ben
	publish(feed.CallChanged{Call: call("c2", "1003", "1003")}) // nobody's
	publish(feed.RegistrationChanged{Domain: "bellhop.test", Number: "1002", Device: "desk-1002", What: "added", Source: netip.MustParseAddrPort("192.0.2.1:5060")})
	publish(feed.SettingChanged{Domain: "bellhop.test", Kind: "dnd", Name: "ana"})
	publish(feed.SettingChanged{Domain: "bellhop.test", Kind: "sign-ins", Name: "ana"}) // nobody hears of it
	publish(feed.SettingChanged{Domain: "other.test", Kind: "users", Name: "zoe"})
	end := call("end", "1001", "1002")
	end.Domain = "bellhop.test"
	publish(feed.CallChanged{Call: end})
	last := call("last", "1", "2")
	last.Domain = "other.test"
	publish(feed.CallChanged{Call: last})

	for who, want := range map[string][]string{
		"root": {"call c1", "call c2", "registration desk-1002", "setting dnd/ana", "setting users/zoe", "call end", "call last"},
		"ada":  {"call c1", "call c2", "registration desk-1002", "setting dnd/ana", "call end"},
		"zoe":  {"setting users/zoe", "call last"},
		"ana":  {"call c1", "setting dnd/ana", "call end"},
		"ben":  {"call c1", "registration desk-1002", "call end"},
	} {
		var got []string
		for range want {
			ev := streams[who].next()
			m := answer{body: ev.data}.json(t)
			switch ev.name {
			case "call":
				got = append(got, "call "+m["id"].(string))
			case "registration":
				got = append(got, "registration "+m["device"].(string))
			case "setting":
				got = append(got, "setting "+m["kind"].(string)+"/"+m["name"].(string))
			}
			if who == "ana" && ev.name == "call" && (m["device"] != nil || m["rule"] != nil || m["call_id"] != nil) {
				t.Errorf("the caller learns where the callee answered: %s", ev.data)
			}
			if who == "ben" && ev.name == "call" && (m["device"] != "desk-1002" || m["caller_device"] != nil) {
				t.Errorf("the callee sees %s", ev.data)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", who, diff)
		}
	}
}

// settle waits until the events of the seed are drained, by watching one more
// arrive.
func (a *api) settle() {
	a.t.Helper()
	s := a.stream("root", "?kinds=registration")
	a.store.stream.Publish(feed.RegistrationChanged{Domain: "bellhop.test", Device: "settle"})
	s.next()
	s.stop()
}

func TestEventsResume(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.settle()
	first := a.stream("root", "")
	ids := map[string]string{}
	for _, id := range []string{"c1", "c2", "c3"} {
		a.store.stream.Publish(feed.CallChanged{Call: call(id, "1001", "1002")})
	}
	for _, want := range []string{"c1", "c2", "c3"} {
		ev := first.next()
		if got := (answer{body: ev.data}).json(t)["id"]; got != want {
			t.Fatalf("event = %v, want %s", got, want)
		}
		ids[want] = ev.id
	}
	first.stop()

	again := a.stream("root", "", "Last-Event-ID", ids["c1"])
	for _, want := range []string{"c2", "c3"} {
		ev := again.next()
		if got := (answer{body: ev.data}).json(t)["id"]; got != want || ev.id != ids[want] {
			t.Errorf("resumed with %v (%s), want %s (%s)", got, ev.id, want, ids[want])
		}
	}

	for name, id := range map[string]string{"of another run": "00000000-5", "that is nonsense": "x", "of the future": strings.Split(ids["c1"], "-")[0] + "-999999"} {
		s := a.stream("root", "", "Last-Event-ID", id)
		if ev := s.next(); ev.name != "reset" || ev.id == "" {
			t.Errorf("an id %s resumes with %+v, want reset", name, ev)
		}
	}
}

func TestEventsThatWereOverwritten(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.settle()
	s := a.stream("root", "")
	a.store.stream.Publish(feed.CallChanged{Call: call("old", "1001", "1002")})
	id := s.next().id
	s.stop()
	watch := a.stream("root", "?kinds=registration")
	for i := range 3 { // three times what the stream holds: more than the ring
		for range 4000 {
			a.store.stream.Publish(feed.CallChanged{Call: call("c", "1001", "1002")})
		}
		a.store.stream.Publish(feed.RegistrationChanged{Device: string(rune('a' + i))})
		watch.next()
	}
	late := a.stream("root", "?kinds=registration", "Last-Event-ID", id)
	if ev := late.next(); ev.name != "reset" {
		t.Errorf("a client that missed events goes on with %+v", ev)
	}
	if ev := late.next(); ev.name != "registration" {
		t.Errorf("after the reset comes %+v", ev)
	}
}

func TestEventsEndWithTheSessionAndTheDaemon(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	s := a.stream("ana", "?kinds=setting")
	a.want(a.do("ana", "PUT", "/v1/me/dnd", `{"enabled":true}`), 200, "")
	if ev := s.next(); ev.name != "setting" {
		t.Errorf("event = %+v", ev)
	}
	a.want(a.do("", "GET", "/v1/events", ""), 401, "")
	a.want(a.do("ana", "DELETE", "/v1/session", ""), 204, "")
	a.want(a.do("ana", "GET", "/v1/events", ""), 401, "")
}

func TestStreamsOutliveTheTimeoutsOfRequests(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	srv := httptest.NewUnstartedServer(a.srv.Handler())
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = time.Second, time.Second
	srv.StartTLS()
	t.Cleanup(srv.Close)
	a.http = srv
	s := a.stream("root", "?kinds=registration")
	<-time.After(1300 * time.Millisecond) // past both
	a.store.stream.Publish(feed.RegistrationChanged{Device: "late"})
	if ev := s.next(); !strings.Contains(ev.data, "late") {
		t.Errorf("event = %+v", ev)
	}
}
