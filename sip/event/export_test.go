package event

import (
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
