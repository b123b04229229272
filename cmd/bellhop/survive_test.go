//go:build e2e

package main

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/icholy/digest"

	_ "bellhop/store/sqlstore" // registers the SQLite driver
)

// setForward saves a forward.all and returns the refusal, if it is one.
func (h *house) setForward(t *testing.T, number, target string) *problem {
	t.Helper()
	err := h.api.do(t.Context(), http.MethodPut, inDomain(demoDomain, "numbers", number, "forwarding"),
		object{"all": object{"both": object{"enabled": true, "target": target}}}, nil)
	p, refused := errors.AsType[*problem](err)
	if err != nil && !refused {
		t.Error(err)
	}
	return p
}

// TestE2ELoopRefused saves 1003 -> 1001 on top of 1001 -> 1002 -> 1003.
func TestE2ELoopRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.forwardAll(t, "1001", "1002")
	h.forwardAll(t, "1002", "1003")
	p := h.setForward(t, "1003", "1001")
	if p == nil {
		t.Fatal("the loop was saved")
	}
	text := p.Error()
	if !strings.Contains(text, "forward.loop-refused") || !containsInOrder(text, "1003", "1001", "1002", "1003") {
		t.Errorf("the refusal does not show the chain: %s", text)
	}
}

func containsInOrder(s string, parts ...string) bool {
	for _, p := range parts {
		_, after, ok := strings.Cut(s, p)
		if !ok {
			return false
		}
		s = after
	}
	return true
}

// TestE2ELoopAtOnce lets two clients save the two halves of a loop at once, a
// thousand times: one of them is refused, every time.
func TestE2ELoopAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 1000 {
		h.forwardAll(t, "1002", "1003")
		halves := [2][2]string{{"1001", "1002"}, {"1003", "1001"}}
		var refused atomic.Int32
		var wg sync.WaitGroup
		for _, half := range halves {
			wg.Go(func() {
				if p := h.setForward(t, half[0], half[1]); p != nil {
					if !strings.Contains(p.Error(), "forward.loop-refused") {
						t.Error(p)
					}
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if n := refused.Load(); n != 1 {
			t.Fatalf("try %d: %d of two halves of a loop were refused, want one", i, n)
		}
		for _, half := range halves {
			if err := h.api.do(t.Context(), http.MethodDelete, inDomain(demoDomain, "numbers", half[0], "forwarding"), nil, nil); err != nil {
				if p, ok := errors.AsType[*problem](err); !ok || p.Status != http.StatusNotFound {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestE2ELoopBreakout puts a loop into the store that the API refuses: the call
// ends at the number whose rule closes it.
func TestE2ELoopBreakout(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.forwardAll(t, "1001", "1002")
		h.forwardAll(t, "1002", "1003")
		h.put(t, "/numbers/1003/forwarding", object{"all": object{"both": object{"enabled": false, "target": "1001"}}})
		h.stop(t)
		db, err := sql.Open("sqlite", filepath.Join(h.dir, "demo", "store", "bellhop.db"))
		if err != nil {
			t.Fatal(err)
		}
		done, err := db.Exec(`UPDATE documents SET body = CAST(replace(CAST(body AS TEXT), '"enabled":false', '"enabled":true') AS BLOB) WHERE kind = 'forwarding' AND name = '1003'`)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := done.RowsAffected(); err != nil || n != 1 {
			t.Fatalf("%d documents changed, %v", n, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		h.restart(t)
		dan, cleo := h.desk(t, "1004"), h.desk(t, "1003")
		answer := cleo.start(t, "answer", "-d", 100)
		dan.calls(t, "call", "1001", "-d", 100).wait(t)
		answer.wait(t)
		h.check(t, want{"1004", "1001", "1003", "desk-1003", 200, "answered", []string{"forward.all", "forward.loop-breakout", "ring.devices"}})
	})
}

// TestE2EKillCall kills the daemon while two people talk. After a restart the
// BYE of either goes through, and the record is closed.
func TestE2EKillCall(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		for _, tt := range []struct{ name, call, answer string }{
			{"the caller hangs up", "call", "answer-stay"},
			{"the callee hangs up", "call-hung-up", "answer-hang-up"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := open(t)
				cleo, ana := h.desk(t, caller), h.desk(t, "1001")
				const talk = 4000 // ms; the restart is over long before
				answer := ana.start(t, tt.answer, "-d", talk)
				call := cleo.calls(t, tt.call, "1001", "-d", talk)
				before := h.live(t, "talking")
				h.kill(t)
				h.restart(t, cleo, ana)
				if after := h.live(t, "talking"); after.ID != before.ID {
					t.Errorf("call %s is talking after the restart, want %s", after.ID, before.ID)
				}
				call.wait(t)
				answer.wait(t)
				h.check(t, want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"ring.devices"}})
				if r := h.records(t, 1)[0]; r.EndedAt.Sub(r.AnsweredAt) < talk*time.Millisecond*9/10 {
					t.Errorf("the record says %v of talk, want about %d ms", r.EndedAt.Sub(r.AnsweredAt), talk)
				}
			})
		}
	})
}

// TestE2EKillRegister kills the daemon right after the 200 to a REGISTER, while
// others are on their way: every binding that was acknowledged is there after
// the restart. 50 kills with up to 20 fresh bindings each; make crash asks for
// 1,000.
func TestE2EKillRegister(t *testing.T) {
	t.Parallel()
	const devices = 20
	kills := 50
	if s := os.Getenv("BELLHOP_TEST_CRASH_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	h := newHouse(t, "--users", fmt.Sprint(devices))
	acknowledged := 0
	for round := range kills {
		acks := make(chan string, devices)
		var wg sync.WaitGroup
		var killed atomic.Bool
		for i := range devices {
			wg.Go(func() {
				number := fmt.Sprint(firstExtra + i)
				contact := fmt.Sprintf("sip:%s@192.0.2.%d:%d", number, i+1, 10_000+round) // another one every time
				err := registerRaw(h.info.SIP, number, devicePassword, contact)
				if err == nil {
					acks <- number + " " + contact
				} else if !killed.Load() {
					t.Error(err)
				}
			})
		}
		var got []string
		for range 1 + rand.IntN(devices) { // then, in this moment
			select {
			case ack := <-acks:
				got = append(got, ack)
			case <-time.After(10 * time.Second):
				t.Fatalf("round %d: no more than %d are registered", round, len(got))
			}
		}
		killed.Store(true)
		h.kill(t)
		wg.Wait()
		close(acks)
		for ack := range acks { // sent before it died
			got = append(got, ack)
		}
		h.restart(t)
		there := make(map[string]bool)
		for _, c := range h.contacts(t, "") {
			there[c] = true
		}
		for _, ack := range got {
			if number, contact, _ := strings.Cut(ack, " "); !there[contact] {
				t.Errorf("round %d: the binding of %s to %s is lost; there are %v", round, number, contact, there)
			}
		}
		acknowledged += len(got)
	}
	t.Logf("%d kills, %d bindings acknowledged before", kills, acknowledged)
}

// registerRaw registers a contact as the desk phone of a number does, and
// returns when the 200 is there.
func registerRaw(server, number, password, contact string) error {
	conn, err := net.Dial("udp4", server)
	if err != nil {
		return err
	}
	defer conn.Close()
	return registerOver(conn, number, password, contact)
}

// registerOver is registerRaw over a connection.
func registerOver(conn net.Conn, number, password, contact string) error {
	id := fmt.Sprint(rand.Uint64())
	ask := func(cseq int, more string) (string, error) {
		request := strings.ReplaceAll(fmt.Sprintf(`REGISTER sip:bellhop.test SIP/2.0
Via: SIP/2.0/UDP %s;branch=z9hG4bK%s%d;rport
From: <sip:%[4]s@bellhop.test>;tag=%[2]s
To: <sip:%[4]s@bellhop.test>
Call-ID: %[2]s
CSeq: %[3]d REGISTER
Contact: <%[5]s>;+sip.instance="<urn:uuid:00000000-0000-0000-0000-0000000%[4]s>"
Expires: 3600
Max-Forwards: 70
%[6]sContent-Length: 0

`, conn.LocalAddr(), id, cseq, number, contact, more), "\n", "\r\n")
		b := make([]byte, 4096)
		for wait := 500 * time.Millisecond; ; wait *= 2 { // RFC 3261 §17.1.2.2
			if _, err := conn.Write([]byte(request)); err != nil {
				return "", err
			}
			if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
				return "", err
			}
			n, err := conn.Read(b)
			if err == nil || wait > 2*time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
				return string(b[:n]), err
			}
		}
	}
	res, err := ask(1, "")
	if err != nil {
		return err
	}
	values := field(strings.ReplaceAll(res, "\r\n", "\n"), "WWW-Authenticate")
	if len(values) == 0 {
		return fmt.Errorf("no challenge in %q", res)
	}
	chal, err := digest.ParseChallenge(values[0])
	if err != nil {
		return err
	}
	cred, err := digest.Digest(chal, digest.Options{Method: "REGISTER", URI: "sip:bellhop.test", Username: "desk-" + number, Password: password})
	if err != nil {
		return err
	}
	if res, err = ask(2, "Authorization: "+cred.String()+"\n"); err != nil {
		return err
	}
	if !strings.HasPrefix(res, "SIP/2.0 200 ") {
		return fmt.Errorf("answer %q", res)
	}
	return nil
}
