package transaction_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// wirelog is a network that only remembers what was sent, and when.
type wirelog struct {
	began time.Time
	mu    sync.Mutex // guards sent
	sent  []string
}

func (w *wirelog) Send(_ location.Flow, b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	line, _, _ := strings.Cut(string(b), "\r\n")
	w.sent = append(w.sent, fmt.Sprintf("%v %s", time.Since(w.began).Round(100*time.Millisecond), line))
	return nil
}

func (w *wirelog) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.sent
	w.sent = nil
	return out
}

// user remembers what a transaction told it.
type user struct {
	mu  sync.Mutex
	got []string
}

func (u *user) add(what string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.got = append(u.got, what)
}

// all is what it was told until now.
func (u *user) all() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.got)
}

func (u *user) Response(_ *transaction.Client, m *wire.Message) { u.add(fmt.Sprint(m.Status())) }
func (u *user) Failed(*transaction.Client)                      { u.add("failed") }
func (u *user) TimerC(c *transaction.Client)                    { u.add("timer C"); c.Cancel(nil) }

// do is an event: a step written in a test.
type do func(set *transaction.Set)

// bench is one lane with its transactions, in a bubble.
type bench struct {
	t    *testing.T
	net  *wirelog
	ly   *transaction.Layer
	lane *lane.Lane
	set  *transaction.Set
	user *user
}

func newBench(t *testing.T, flows int) *bench {
	t.Helper()
	return newBenchOf(t, transaction.Options{MaxFinished: flows})
}

func newBenchOf(t *testing.T, o transaction.Options) *bench {
	t.Helper()
	b := &bench{t: t, net: &wirelog{began: time.Now()}, user: &user{}}
	o.Sender = b.net
	b.ly = transaction.New(o)
	pool := lane.NewPool(lane.PoolOptions{})
	table := lane.NewTable(pool, func(_ *lane.Lane, ev lane.Event) {
		switch ev := ev.(type) {
		case do:
			ev(b.set)
		case lane.Fired:
			if !ev.Stale() {
				b.set.Fired(ev)
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { pool.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	l, _, err := table.GetOrNew([]byte("call"))
	if err != nil {
		t.Fatal(err)
	}
	b.lane, b.set = l, b.ly.NewSet(l)
	return b
}

func (b *bench) step(f do) {
	b.t.Helper()
	if _, err := b.lane.Run(f); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) want(what string, got []string, want ...string) {
	b.t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		b.t.Errorf("%s:\n%s\nwant:\n%s", what, g, w)
	}
}

func flow(tr location.Transport) location.Flow {
	return location.Flow{
		Transport: tr, Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort("192.0.2.9:5060"),
	}
}

func packet(t *testing.T, tr location.Transport, start, via, cseq string) *transport.Packet {
	t.Helper()
	p := &transport.Packet{Flow: flow(tr), Received: time.Now()}
	msg := start + "\r\nVia: " + via + "\r\nFrom: <sip:a@x>;tag=f\r\nTo: <sip:b@x>;tag=t\r\nCall-ID: call\r\nCSeq: " + cseq +
		"\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
	if err := p.Msg.Parse([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	return p
}

const peerVia = "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKpeer"

func (b *bench) request(method string) []byte {
	return []byte(method + " sip:b@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=" +
		string(transaction.ID(7).AppendBranch(nil, 1)) + "\r\nFrom: <sip:a@x>;tag=f\r\nTo: <sip:b@x>\r\nCall-ID: call\r\nCSeq: 1 " +
		method + "\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n")
}

func (b *bench) send(method wire.Method) (c *transaction.Client) {
	b.t.Helper()
	b.step(func(set *transaction.Set) {
		var err error
		c, err = set.Request(flow(location.UDP), method, 7, b.request(method.String()), b.user, 3)
		if err != nil {
			b.t.Error(err)
		}
	})
	return c
}

func (b *bench) answer(status int, method string) {
	b.t.Helper()
	via := "SIP/2.0/UDP 192.0.2.1:5060;branch=" + string(transaction.ID(7).AppendBranch(nil, 1))
	p := packet(b.t, location.UDP, fmt.Sprintf("SIP/2.0 %d X", status), via, "1 "+method)
	b.step(func(set *transaction.Set) {
		if !set.Response(&p.Msg) {
			b.user.add(fmt.Sprint("stray ", status))
		}
	})
}

// TestTimersOfANode: Timer C and T4 are those that the node chose.
func TestTimersOfANode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBenchOf(t, transaction.Options{Timers: transaction.Timers{C: 4 * time.Minute, T4: 20 * time.Second}})
		if got, want := b.ly.Timers(), (transaction.Timers{T1: 500 * time.Millisecond, T2: 4 * time.Second, T4: 20 * time.Second, C: 4 * time.Minute}); got != want {
			t.Errorf("Timers = %+v, want %+v", got, want)
		}
		b.send(wire.Invite)
		b.answer(180, "INVITE")
		<-time.After(4*time.Minute - time.Second)
		b.want("user before Timer C", b.user.all(), "180")
		<-time.After(2 * time.Second)
		synctest.Wait()
		b.want("user after Timer C", b.user.all(), "180", "timer C")
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBenchOf(t, transaction.Options{Timers: transaction.Timers{T4: 20 * time.Second}})
		b.send(wire.Bye)
		b.answer(200, "BYE")
		<-time.After(18 * time.Second)
		if b.set.Empty() {
			t.Error("a BYE does not linger for T4")
		}
		<-time.After(5 * time.Second)
		synctest.Wait()
		if !b.set.Empty() {
			t.Error("a BYE lingers longer than T4")
		}
	})
}

func TestClientSendsAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		method wire.Method
		want   []string // when it was sent (RFC 3261 §17.1.1.2, §17.1.2.2)
		timers transaction.Timers
	}{
		{"INVITE doubles", wire.Invite, []string{"0s", "500ms", "1.5s", "3.5s", "7.5s", "15.5s", "31.5s"}, transaction.Timers{}},
		{"others stop at T2", wire.Bye, []string{
			"0s", "500ms", "1.5s", "3.5s", "7.5s", "11.5s", "15.5s", "19.5s", "23.5s", "27.5s", "31.5s",
		}, transaction.Timers{}},
		{"INVITE over a satellite", wire.Invite, []string{"0s", "2s", "6s", "14s", "30s", "1m2s", "2m6s"}, transaction.Timers{T1: 2 * time.Second}},
		{"others with times of their own", wire.Bye, []string{
			"0s", "200ms", "600ms", "1.4s", "2.4s", "3.4s", "4.4s", "5.4s", "6.4s", "7.4s", "8.4s", "9.4s", "10.4s", "11.4s", "12.4s",
		}, transaction.Timers{T1: 200 * time.Millisecond, T2: time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBenchOf(t, transaction.Options{Timers: tt.timers})
				b.send(tt.method)
				<-time.After(4 * time.Minute)
				synctest.Wait()
				want := make([]string, len(tt.want))
				for i, at := range tt.want {
					want[i] = at + " " + tt.method.String() + " sip:b@192.0.2.9 SIP/2.0"
				}
				b.want("sent", b.net.take(), want...)
				b.want("user", b.user.all(), "failed")
				if !b.set.Empty() {
					t.Error("the set is not empty after Timer B or F")
				}
			})
		})
	}
}

func TestInviteClient(t *testing.T) {
	t.Parallel()
	const ack = "ACK sip:b@192.0.2.9 SIP/2.0"
	tests := []struct {
		name string
		play func(b *bench, c *transaction.Client)
		sent []string // after the INVITE
		user []string
	}{
		{"every 2xx goes up, none is acknowledged here", func(b *bench, _ *transaction.Client) {
			b.answer(180, "INVITE")
			b.answer(200, "INVITE")
			b.answer(200, "INVITE")
		}, nil, []string{"180", "200", "200"}},
		{"a final response again is acknowledged again, and told once", func(b *bench, _ *transaction.Client) {
			b.answer(486, "INVITE")
			b.answer(486, "INVITE")
		}, []string{"0s " + ack, "0s " + ack}, []string{"486"}},
		{"CANCEL waits for a provisional response", func(b *bench, c *transaction.Client) {
			b.step(func(*transaction.Set) { c.Cancel([]byte("Reason: SIP;cause=200\r\n")) })
			b.answer(100, "INVITE")
			b.answer(200, "CANCEL")
			b.answer(487, "INVITE")
		}, []string{"0s CANCEL sip:b@192.0.2.9 SIP/2.0", "0s " + ack}, []string{"100", "487"}},
		{"a 2xx after CANCEL is told", func(b *bench, c *transaction.Client) {
			b.answer(180, "INVITE")
			b.step(func(*transaction.Set) { c.Cancel(nil); c.Cancel(nil) })
			b.answer(200, "CANCEL")
			b.answer(200, "INVITE")
		}, []string{"0s CANCEL sip:b@192.0.2.9 SIP/2.0"}, []string{"180", "200"}},
		{"a given up INVITE without an answer is not sent again", func(b *bench, c *transaction.Client) {
			b.step(func(*transaction.Set) { c.Cancel(nil) })
			<-time.After(40 * time.Second)
			synctest.Wait()
		}, nil, []string{"failed"}},
		{"a CANCEL that is not obeyed ends after 64*T1", func(b *bench, c *transaction.Client) {
			b.answer(180, "INVITE")
			b.step(func(*transaction.Set) { c.Cancel(nil) })
			b.answer(200, "CANCEL")
			<-time.After(33 * time.Second)
			synctest.Wait()
		}, []string{"0s CANCEL sip:b@192.0.2.9 SIP/2.0"}, []string{"180", "failed"}},
		{"Timer C", func(b *bench, _ *transaction.Client) {
			b.answer(180, "INVITE")
			<-time.After(186 * time.Second)
			synctest.Wait()
		}, []string{"3m5s CANCEL sip:b@192.0.2.9 SIP/2.0"}, []string{"180", "timer C"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 0)
				c := b.send(wire.Invite)
				b.net.take()
				tt.play(b, c)
				got := b.net.take()
				if len(got) > len(tt.sent) { // retransmissions of a CANCEL nobody answered
					got = got[:len(tt.sent)]
				}
				b.want("sent", got, tt.sent...)
				b.want("user", b.user.all(), tt.user...)
				<-time.After(70 * time.Second)
				synctest.Wait()
				if !b.set.Empty() {
					t.Error("transactions are left")
				}
			})
		})
	}
}

func (b *bench) serve(method, via string) (srv *transaction.Server) {
	b.t.Helper()
	p := packet(b.t, location.UDP, method+" sip:b@x SIP/2.0", via, "1 "+method)
	b.step(func(set *transaction.Set) {
		if set.Absorb(p) {
			b.user.add("absorbed")
			return
		}
		srv = set.Serve(p)
	})
	return srv
}

func (b *bench) respond(srv *transaction.Server, status int) {
	b.step(func(*transaction.Set) { srv.Send(status, []byte(fmt.Sprintf("SIP/2.0 %d X\r\n\r\n", status))) })
}

func TestServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		play func(b *bench)
		sent []string
		user []string
	}{
		{"an INVITE nobody answered gets 100 after 200 ms", func(b *bench) {
			b.serve("INVITE", peerVia)
			<-time.After(time.Second)
			synctest.Wait()
			b.serve("INVITE", peerVia)
		}, []string{"200ms SIP/2.0 100 Trying", "1s SIP/2.0 100 Trying"}, []string{"absorbed"}},
		{"a provisional response in time spares the 100", func(b *bench) {
			b.respond(b.serve("INVITE", peerVia), 180)
			<-time.After(time.Second)
			synctest.Wait()
		}, []string{"0s SIP/2.0 180 X"}, nil},
		{"a final response is sent again until the ACK", func(b *bench) {
			b.respond(b.serve("INVITE", peerVia), 486)
			<-time.After(2 * time.Second)
			synctest.Wait()
			b.serve("INVITE", peerVia)
			b.serve("ACK", peerVia)
			b.serve("ACK", peerVia)
		}, []string{"0s SIP/2.0 486 X", "500ms SIP/2.0 486 X", "1.5s SIP/2.0 486 X", "2s SIP/2.0 486 X"}, []string{"absorbed", "absorbed", "absorbed"}},
		{"after a 2xx the INVITE is swallowed, its ACK is not ours", func(b *bench) {
			srv := b.serve("INVITE", peerVia)
			b.respond(srv, 200)
			b.serve("INVITE", peerVia)
			b.respond(srv, 200)
			b.respond(srv, 486)
			p := packet(b.t, location.UDP, "ACK sip:b@x SIP/2.0", peerVia, "1 ACK")
			b.step(func(set *transaction.Set) {
				if set.Absorb(p) {
					b.t.Error("the ACK of a 2xx was absorbed")
				}
			})
		}, []string{"0s SIP/2.0 200 X", "0s SIP/2.0 200 X"}, []string{"absorbed"}},
		{"another request is answered again", func(b *bench) {
			b.respond(b.serve("BYE", peerVia), 200)
			b.serve("BYE", peerVia)
		}, []string{"0s SIP/2.0 200 X", "0s SIP/2.0 200 X"}, []string{"absorbed"}},
		{"a branch of RFC 2543 is told apart by the rest", func(b *bench) {
			b.respond(b.serve("BYE", "SIP/2.0/UDP 192.0.2.9;branch=1"), 200)
			b.serve("BYE", "SIP/2.0/UDP 192.0.2.9;branch=1")
			b.serve("BYE", "SIP/2.0/UDP 192.0.2.8;branch=1")
		}, []string{"0s SIP/2.0 200 X", "0s SIP/2.0 200 X"}, []string{"absorbed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 0)
				tt.play(b)
				b.want("sent", b.net.take(), tt.sent...)
				b.want("user", b.user.all(), tt.user...)
			})
		})
	}
}

func TestFinishedAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3)
		for i := range 10 {
			b.respond(b.serve("BYE", fmt.Sprintf("SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK%d", i)), 200)
		}
		again := func(i int) bool {
			p := packet(t, location.UDP, "BYE sip:b@x SIP/2.0", fmt.Sprintf("SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK%d", i), "1 BYE")
			var took bool
			b.step(func(set *transaction.Set) { took = set.Absorb(p) })
			return took
		}
		if !again(2) || again(9) {
			t.Errorf("absorbed: third %v, tenth %v, want true, false", again(2), again(9))
		}
		<-time.After(33 * time.Second)
		synctest.Wait()
		if !b.set.Empty() {
			t.Error("transactions are left after Timer J")
		}
	})
}

func TestCancelFindsItsInvite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 0)
		srv := b.serve("INVITE", peerVia)
		for via, want := range map[string]*transaction.Server{peerVia: srv, peerVia + "x": nil} {
			p := packet(t, location.UDP, "CANCEL sip:b@x SIP/2.0", via, "1 CANCEL")
			b.step(func(set *transaction.Set) {
				if got := set.Invite(&p.Msg); got != want {
					t.Errorf("Invite(%s) = %v, want %v", via, got, want)
				}
			})
		}
	})
}
