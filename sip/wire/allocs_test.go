package wire_test

import (
	"testing"

	"bellhop/sip/wire"
)

// TestAllocs pins what the hot path allocates.
//
//nolint:paralleltest // testing.AllocsPerRun counts for the whole process
func TestAllocs(t *testing.T) {
	var m, again wire.Message
	var s wire.Splice
	if err := m.Parse(invite); err != nil {
		t.Fatal(err)
	}
	var via, dst [2048]byte
	tag, name := []byte("8kd93"), "user-agent"
	count := 0
	tests := []struct {
		name string
		max  float64
		run  func()
	}{
		{"parse", 0, func() { _ = again.Parse(invite) }},
		{"parse stream", 0, func() { _, _ = again.ParseStream(ringing) }},
		{"clone", 3, func() { m.Clone() }},
		{"forward", 0, func() { forward(&s, &m, via[:], dst[:]) }},
		{"remove from lists", 0, func() {
			s.Reset(&m)
			for v := range m.All(wire.Allow) {
				s.Remove(v)
			}
			s.AppendTo(dst[:0])
		}},
		{"response", 0, func() { wire.AppendResponse(dst[:0], &m, 404, "", tag, nil) }},
		{"cancel", 0, func() { wire.AppendCancel(dst[:0], &m, nil) }},
		{"ack", 0, func() { wire.AppendAck(dst[:0], &m, &m) }},
		{"top via", 0, func() { m.AppendTopVia(via[:0], benchSrc) }},
		{"walk", 0, func() {
			for v := range m.All(wire.Supported) {
				count += len(v.Bytes())
			}
			for v := range m.Named(name) {
				count += len(v.Bytes())
			}
			for _, v := range m.Lines() {
				count += len(v.Bytes())
			}
		}},
		{"cursors", 0, func() {
			v, _ := m.Get(wire.Contact)
			n, _ := wire.ParseNameAddr(v.Bytes())
			u, _ := wire.ParseURI(n.URI)
			_, _ = u.Param("transport")
			_, _ = n.Param("expires")
			for name := range wire.Params(u.Params) {
				count += len(name)
			}
			if !wire.EqualURI(n.URI, n.URI) {
				count++
			}
		}},
		{"credentials", 0, func() {
			v, _ := m.Get(wire.ProxyAuthorization)
			a, _ := wire.ParseAuth(v.Bytes())
			_, _ = a.Param("algorithm")
		}},
	}
	for _, row := range tests {
		t.Run(row.name, func(t *testing.T) {
			if got := testing.AllocsPerRun(200, row.run); got > row.max {
				t.Errorf("allocations = %v, want %v at most", got, row.max)
			}
		})
	}
}
