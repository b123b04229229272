//go:build e2e

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// devicePassword is that of every device in these tests.
const devicePassword = "Sesame-4711"

// A house is a demo with SIPp phones around it. SIPp answers MD5 challenges only.
type house struct {
	*daemon
	info *demoInfo
	dir  string
	args []string
	api  *client
	ops  string // address of health and metrics, "" for none
	// friends are the numbers that softphones watch the presence of.
	friends []string
	over    *bridge // of phones that speak TCP or TLS; nil: UDP
}

// newHouse starts a demo on ports of its own.
func newHouse(t *testing.T, args ...string) *house {
	t.Helper()
	return newTown(t, append([]string{"--digest", "md5"}, args...)...)
}

// newTown is newHouse for softphones, which are challenged as all the world is.
func newTown(t *testing.T, args ...string) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), args: append([]string{"--dir", "demo", "--password", devicePassword}, args...)}
	h.daemon, h.info = demo(t, h.dir, append(h.args, "--sip", "127.0.0.1:"+freePort(t))...)
	h.connect(t)
	return h
}

// connect makes a client for the API.
func (h *house) connect(t *testing.T) {
	t.Helper()
	var err error
	h.api, err = apiFlags{Demo: filepath.Join(h.dir, "demo")}.client(stdio{env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
}

// kill ends the daemon as a power cut of its process would.
func (h *house) kill(t *testing.T) {
	t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Wait() // "signal: killed"
}

// restart starts it again where it was. Phones whose connections went with it
// register again.
func (h *house) restart(t *testing.T, phones ...*phone) {
	t.Helper()
	https := strings.TrimPrefix(h.info.HTTPS, "https://")
	h.daemon, h.info = demo(t, h.dir, slices.Concat(h.args, []string{"--sip", h.info.SIP, "--https", https})...)
	h.connect(t)
	for _, p := range phones {
		p.again(t)
	}
}

// put writes a document of the domain.
func (h *house) put(t *testing.T, path string, body any) {
	t.Helper()
	if err := h.api.do(t.Context(), http.MethodPut, inDomain(demoDomain)+path, body, nil); err != nil {
		t.Fatal(err)
	}
}

// An object is JSON.
type object = map[string]any

// forwardAll sends all calls of a number to another.
func (h *house) forwardAll(t *testing.T, number, target string) {
	t.Helper()
	h.put(t, "/numbers/"+number+"/forwarding", object{"all": object{"both": object{"enabled": true, "target": target}}})
}

// A record is a call as the API shows it.
type record struct {
	ID         string    `json:"id"`
	Caller     string    `json:"caller"`
	CallerDev  string    `json:"caller_device"`
	Called     string    `json:"called"`
	Number     string    `json:"number"`
	Device     string    `json:"device"`
	State      string    `json:"state"`
	AnsweredAt time.Time `json:"answered_at"`
	EndedAt    time.Time `json:"ended_at"`
	Status     int       `json:"status"`
	Outcome    string    `json:"outcome"`
	Story      []struct {
		Rule   string `json:"rule"`
		Number string `json:"number"`
		To     string `json:"to"`
	} `json:"story"`
}

// has reports whether a rule took part.
func (r *record) has(rule string) bool {
	for _, s := range r.Story {
		if s.Rule == rule {
			return true
		}
	}
	return false
}

// records waits until there are n records, and returns them, the newest first.
func (h *house) records(t *testing.T, n int) []record {
	t.Helper()
	var all []record
	for deadline := time.Now().Add(10 * time.Second); ; {
		all = all[:0]
		for cursor := ""; ; {
			var page struct {
				Items []record `json:"items"`
				Next  string   `json:"next"`
			}
			query := url.Values{"limit": {"500"}, "cursor": {cursor}}
			if err := h.api.do(t.Context(), http.MethodGet, inDomain(demoDomain, "records")+"?"+query.Encode(), nil, &page); err != nil {
				t.Fatal(err)
			}
			all = append(all, page.Items...)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if len(all) == n || time.Now().After(deadline) {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	if len(all) != n {
		t.Fatalf("%d records, want %d: %+v", len(all), n, all)
	}
	for _, r := range all {
		if r.State != "ended" || r.EndedAt.IsZero() {
			t.Errorf("record %s is not closed: %+v", r.ID, r)
		}
	}
	return all
}

// A want is what a record shall say.
type want struct {
	caller, called, number, device string
	status                         int
	outcome                        string
	rules                          []string // of the story
}

// check compares the only record with w.
func (h *house) check(t *testing.T, w want) {
	t.Helper()
	w.equal(t, &h.records(t, 1)[0])
}

func (w want) equal(t *testing.T, r *record) {
	t.Helper()
	got := want{r.Caller, r.Called, r.Number, r.Device, r.Status, r.Outcome, w.rules}
	if fmt.Sprint(got) != fmt.Sprint(w) {
		t.Errorf("record = %+v, want %+v", got, w)
	}
	if answered := w.outcome == "answered"; answered == r.AnsweredAt.IsZero() {
		t.Errorf("record %s: answered at %v", r.ID, r.AnsweredAt)
	}
	for _, rule := range w.rules {
		if !r.has(rule) {
			t.Errorf("no %s in the story %+v", rule, r.Story)
		}
	}
}

// live waits until a call is in a state, and returns it.
func (h *house) live(t *testing.T, state string) record {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		var page struct {
			Items []record `json:"items"`
		}
		if err := h.api.do(t.Context(), http.MethodGet, inDomain(demoDomain, "calls"), nil, &page); err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Items {
			if r.State == state {
				return r
			}
		}
	}
	t.Fatalf("no call is %s", state)
	return record{}
}

// contacts are the bindings of a number.
func (h *house) contacts(t *testing.T, number string) []string {
	t.Helper()
	var page struct {
		Items []struct {
			Contact string `json:"contact"`
		} `json:"items"`
	}
	if err := h.api.do(t.Context(), http.MethodGet, inDomain(demoDomain, "registrations")+"?limit=500&number="+number, nil, &page); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range page.Items {
		out = append(out, r.Contact)
	}
	return out
}

// A phone is a device, played by SIPp, at a port of its own.
type phone struct {
	house          *house
	number, device string
	server, ip     string // where it registers, and from
	port           string
}

// phone returns a device that is not registered.
func (h *house) phone(t *testing.T, number, device string) *phone {
	t.Helper()
	server := h.info.SIP
	if h.over != nil {
		server = h.over.addr()
	}
	return &phone{h, number, device, server, "127.0.0.1", freePort(t)}
}

// freePort is a port of loopback that nobody has, over UDP and TCP.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if ln, err := net.Listen("tcp4", conn.LocalAddr().String()); err == nil {
			ln.Close()
			return strconv.Itoa(int(netip.MustParseAddrPort(conn.LocalAddr().String()).Port()))
		}
	}
}

// desk returns the registered desk phone of a number.
func (h *house) desk(t *testing.T, number string) *phone {
	t.Helper()
	p := h.phone(t, number, "desk-"+number)
	p.start(t, "register").wait(t)
	return p
}

// A flow is a SIPp that runs or ran.
type flow struct {
	cmd  *exec.Cmd
	name string
	dir  string
	done chan error
}

// final is the status that a scenario expects at its end.
type final int

// start runs a scenario of testdata/sipp from the phone's port. A [final] among
// the arguments takes the place of the last status in it; the rest is SIPp's.
func (p *phone) start(t *testing.T, scenario string, args ...any) *flow {
	t.Helper()
	f := &flow{name: p.device + " " + scenario, done: make(chan error, 1)}
	f.dir = t.TempDir()
	text, err := os.ReadFile(filepath.Join("../../testdata/sipp", scenario+".xml"))
	if err != nil {
		t.Fatal(err)
	}
	line := []string{
		p.server, "-sf", "scenario.xml", "-i", p.ip, "-p", p.port, "-nostdin", "-m", "1",
		"-au", p.device, "-ap", devicePassword, "-key", "from", p.number, "-timeout", "60s", "-timeout_error",
		"-trace_msg", "-message_file", "messages", "-trace_err", "-error_file", "errors",
	}
	if strings.Contains(p.ip, ":") {
		line = append(line, "-auth_uri", demoDomain) // SIPp would write sip:::1:5060
	}
	for _, a := range args {
		if status, ok := a.(final); ok {
			at := strings.LastIndex(string(text), ` response="`) + len(` response="`)
			text = slices.Concat(text[:at], []byte(strconv.Itoa(int(status))), text[at+3:])
			continue
		}
		line = append(line, fmt.Sprint(a))
	}
	if err := os.WriteFile(filepath.Join(f.dir, "scenario.xml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	f.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), "sipp", line...)
	f.cmd.Dir = f.dir
	out := &lockedBuffer{}
	f.cmd.Stdout, f.cmd.Stderr = out, out
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { f.done <- f.cmd.Wait() }()
	t.Cleanup(func() {
		_ = f.cmd.Process.Kill() // it has mostly ended
		if t.Failed() {
			errs, _ := os.ReadFile(filepath.Join(f.dir, "errors"))
			messages, _ := os.ReadFile(filepath.Join(f.dir, "messages"))
			t.Logf("%s:\n%.2000s", f.name, errs)
			if trace := os.Getenv("SIPP_TRACE"); trace != "" { // a folder
				_ = os.WriteFile(filepath.Join(trace, strings.ReplaceAll(t.Name()+" "+f.name, "/", ".")), messages, 0o600)
			}
		}
	})
	p.bound(t, f)
	return f
}

// bound waits until SIPp has its socket, or has ended.
func (p *phone) bound(t *testing.T, f *flow) {
	t.Helper()
	port, err := strconv.Atoi(p.port)
	if err != nil {
		t.Fatal(err)
	}
	mark, names := fmt.Sprintf(": 0100007F:%04X ", port), "/proc/net/udp"
	if strings.Contains(p.ip, ":") {
		mark, names = fmt.Sprintf(":%04X ", port), "/proc/net/udp6"
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		table, err := os.ReadFile(names)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(table), mark) {
			return
		}
		select {
		case err := <-f.done: // ended already
			f.done <- err
			return
		default:
		}
	}
	t.Fatalf("%s does not bind port %s", f.name, p.port)
}

// wait waits for the end; every call must have gone as the scenario says.
func (f *flow) wait(t *testing.T) {
	t.Helper()
	select {
	case err := <-f.done:
		f.done <- err
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%s: sipp ends with status %d", f.name, e.ExitCode())
		}
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
	case <-time.After(90 * time.Second):
		t.Fatalf("%s does not end", f.name)
	}
}

// messages are those that the phone got, in order.
func (f *flow) messages(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "messages"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, part := range regexp.MustCompile(`(?m)^-{40,} .*\n`).Split(string(text), -1) {
		head, message, _ := strings.Cut(part, "\n\n")
		if strings.Contains(head, "received") {
			out = append(out, strings.ReplaceAll(message, "\r\n", "\n"))
		}
	}
	return out
}

// got returns the last message that begins so: "INVITE ", "SIP/2.0 180".
func (f *flow) got(t *testing.T, begin string) string {
	t.Helper()
	for _, m := range slices.Backward(f.messages(t)) {
		if strings.HasPrefix(m, begin) {
			return m
		}
	}
	t.Fatalf("%s got no %q", f.name, begin)
	return ""
}

// first returns the first message that begins so.
func (f *flow) first(t *testing.T, begin string) string {
	t.Helper()
	for _, m := range f.messages(t) {
		if strings.HasPrefix(m, begin) {
			return m
		}
	}
	t.Fatalf("%s got no %q", f.name, begin)
	return ""
}

// count counts the messages that begin so.
func (f *flow) count(t *testing.T, begin string) int {
	t.Helper()
	n := 0
	for _, m := range f.messages(t) {
		if strings.HasPrefix(m, begin) {
			n++
		}
	}
	return n
}

// field returns the values of a header field of a message, in order.
func field(message, name string) []string {
	var out []string
	head, _, _ := strings.Cut(message, "\n\n")
	for line := range strings.Lines(head) {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

// matches fails unless one value of the field matches.
func matches(t *testing.T, message, name, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	values := field(message, name)
	if !slices.ContainsFunc(values, re.MatchString) {
		t.Errorf("%s is %q, want a match of %q in\n%s", name, values, pattern, message)
	}
}
