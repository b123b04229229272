package transport

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bellhop/routing/location"
)

func testFlow(port uint16) location.Flow {
	return location.Flow{
		Transport: location.TCP, Conn: 7, Local: netip.MustParseAddrPort("127.0.0.1:5060"),
		Remote: netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), port),
	}
}

func TestLadder(t *testing.T) {
	t.Parallel()
	l := NewLadder(segmentSize)
	at := time.Unix(1800000000, 5).UTC()
	l.add(at.Add(time.Second), true, testFlow(2), []byte("SIP/2.0 180 Ringing\r\nCall-ID: a\r\n"))
	l.add(at, false, testFlow(1), []byte("INVITE sip:b SIP/2.0\r\nCall-ID: a\r\n"))
	l.add(at, false, testFlow(3), []byte("OPTIONS sip:b SIP/2.0\r\nCall-ID: other\r\n"))
	got := l.Find([]string{"Call-ID: a"}, 10)
	if len(got) != 2 || got[0].Sent || !got[1].Sent || !got[0].At.Equal(at) || got[0].Flow != testFlow(1) || !bytes.HasPrefix(got[0].Content, []byte("INVITE")) {
		t.Errorf("Find = %+v", got)
	}
	if got := l.Find([]string{"Call-ID"}, 1); len(got) != 1 {
		t.Errorf("Find of at most one = %d", len(got))
	}
	if got := l.Find(nil, 10); got != nil {
		t.Errorf("Find of nothing = %v", got)
	}
	var none *Ladder
	none.add(at, true, testFlow(1), []byte("x"))
	if none.Find([]string{"x"}, 1) != nil || NewLadder(0) != nil {
		t.Error("a ladder of nothing keeps something")
	}
}

// TestLadderIsBounded: what is older is written over, whole messages at a time;
// the newest are always there.
func TestLadderIsBounded(t *testing.T) {
	t.Parallel()
	l := NewLadder(3 * segmentSize)
	const n = 4000
	for i := range n {
		l.add(time.Unix(int64(i), 0), i%2 == 0, testFlow(1), fmt.Appendf(nil, "number %d of the call %s", i, strings.Repeat("x", i%900)))
	}
	l.add(time.Unix(n, 0), true, testFlow(1), make([]byte, segmentSize)) // longer than any message is
	got := l.Find([]string{"of the call"}, n)
	if len(got) < 500 || len(got) >= n {
		t.Fatalf("%d of %d messages are kept", len(got), n)
	}
	first := n - len(got)
	for i, m := range got {
		if want := fmt.Sprintf("number %d of", first+i); !bytes.HasPrefix(m.Content, []byte(want)) || len(m.Content) < (first+i)%900 {
			t.Fatalf("message %d = %q, want %s", i, m.Content, want)
		}
	}
	for i, s := range l.segments {
		if cap(s.buf) > segmentSize {
			t.Errorf("segment %d has %d bytes", i, cap(s.buf))
		}
	}
}

func BenchmarkLadder(b *testing.B) {
	l := NewLadder(4 << 20)
	msg, f := make([]byte, 700), testFlow(1)
	b.ReportAllocs()
	for b.Loop() {
		l.add(time.Now(), true, f, msg)
	}
}
