package event

import (
	"strconv"
	"time"

	"bellhop/routing/directory"
)

// Documents are the documents that a device of the number, or another one, sees.
func Documents(st *State, own bool) map[string]string {
	out := make(map[string]string)
	v := view{entity: "sip:1002@example.com", own: own, open: st.open(own)}
	for name, p := range packs() {
		out[name] = string(p.body(nil, st, v, 0, time.Date(2030, 11, 3, 10, 0, 0, 0, time.UTC)))
	}
	return out
}

// Apply makes a change in a document, as the key of a phone does.
func (c *FeatureChange) Apply(body []byte) ([]byte, error) { return c.apply(body) }

// Ref is the document that a change is written to.
func (c *FeatureChange) Ref(l *directory.Line) directory.Ref { return c.ref(l) }

// Count counts once in each metric, so that all are there.
func (s *Server) Count() {
	s.metrics.requests.WithLabelValues("dialog", "200").Inc()
	s.metrics.notifies.WithLabelValues("sent").Inc()
	s.metrics.ended.WithLabelValues("timeout").Inc()
	s.metrics.messages.WithLabelValues("kept").Inc()
}

// Watch adds subscriptions, one for each number from 1000 on.
func Watch(s *Server, n int) {
	for i := range n {
		number, id := strconv.Itoa(1000+i), strconv.Itoa(1_000_000_000+i)
		sub := newSubscription(s, s.packs[packDialog], &saved{
			CallID: id + "-call-id-of-a-phone@192.0.2.12", LocalTag: "tag-" + id, RemoteTag: "tag" + id, Package: packDialog,
			LocalURI: "sip:" + number + "@example.com", RemoteURI: "sip:" + id + "@example.com", Target: "sip:" + id + "@192.0.2.12:5060",
			Entity: "sip:" + number + "@example.com", Domain: "example.com", Number: number, Device: "desk-" + id, Line: id,
			Expires: time.Now().Add(time.Hour),
		})
		s.attach(sub)
		sub.schedule()
	}
	Queued(s)
}

// Queued empties the queue of numbers to look at, and returns how many there were.
func Queued(s *Server) int {
	ws := s.queue.take(nil)
	for _, w := range ws {
		w.dirty.Store(false)
	}
	return len(ws)
}
