package wire_test

import (
	"net/netip"
	"testing"

	"bellhop/sip/wire"
)

var (
	benchVia = []byte("Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK7f3a9c21.0\r\nRecord-Route: <sip:r1AbCdEfGhIjKlMnOpQrStUvWxYz0123456789@198.51.100.7;lr>\r\n")
	benchURI = []byte("sip:1002@192.0.2.33:5060;transport=udp;line=kd93jd")
	benchSrc = netip.MustParseAddrPort("192.0.2.17:5060")
)

// forward does what a proxy does with an INVITE: new Request-URI, Via and
// Record-Route on top, the caller's Via stamped, one hop less, no credentials.
func forward(s *wire.Splice, m *wire.Message, via, dst []byte) []byte {
	s.Reset(m)
	s.SetRequestURI(benchURI)
	s.InsertTop(benchVia)
	s.Replace(m.TopVia().Value, m.AppendTopVia(via[:0], benchSrc))
	hops, _ := m.MaxForwards()
	s.SetMaxForwards(hops - 1)
	s.RemoveAll(wire.ProxyAuthorization)
	return s.AppendTo(dst[:0])
}

func BenchmarkParse(b *testing.B) {
	for _, row := range []struct {
		name string
		in   []byte
	}{{"invite", invite}, {"ringing", ringing}, {"ok", ok200}} {
		b.Run(row.name, func(b *testing.B) {
			var m wire.Message
			b.ReportAllocs()
			b.SetBytes(int64(len(row.in)))
			for b.Loop() {
				if err := m.Parse(row.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkForward(b *testing.B) {
	var m wire.Message
	var s wire.Splice
	var via, dst [2048]byte
	b.Run("parse+splice", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Parse(invite); err != nil {
				b.Fatal(err)
			}
			forward(&s, &m, via[:], dst[:])
		}
	})
	b.Run("splice", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			forward(&s, &m, via[:], dst[:])
		}
	})
	b.Run("response", func(b *testing.B) {
		if err := m.Parse(ringing); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			s.Reset(&m)
			s.Remove(m.TopVia().Value)
			s.AppendTo(dst[:0])
		}
	})
}

func BenchmarkClone(b *testing.B) {
	var m wire.Message
	if err := m.Parse(invite); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Clone()
	}
}

func BenchmarkAppendResponse(b *testing.B) {
	var m wire.Message
	if err := m.Parse(invite); err != nil {
		b.Fatal(err)
	}
	var dst [2048]byte
	tag := []byte("8kd93kdk")
	b.ReportAllocs()
	for b.Loop() {
		wire.AppendResponse(dst[:0], &m, 100, "", tag, nil)
	}
}
