package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A comparison is one run of the program.
type comparison struct {
	options
	tools
	dir       string
	out, diag io.Writer
}

// firstNumber is the number of the first phone: bellhop demo --users begins
// there. The callers come first, then those who are called.
const firstNumber = 10_001

// settle is how long a server may finish what a round left it to do (journal,
// records, transactions) before its clock is read. It is the same for all.
const settle = 2 * time.Second

// maxFailed is the share of calls that may fail in a round that counts.
const maxFailed = 0.01

// A round is one turn of one server.
type round struct {
	counts
	cost   float64 // microseconds of processor time per call
	reason string  // why it does not count; "": it does
}

// run starts the servers, fills them and measures them in turn.
func (c *comparison) run(ctx context.Context) (err error) {
	if err := errors.Join(writeFiles(c.dir), c.writeLists()); err != nil {
		return err
	}
	kamailio, err := startKamailio(ctx, c.tools, c.dir, c.port)
	defer func() { err = errors.Join(err, kamailio.stop()) }()
	if err != nil {
		return err
	}
	c.say("starting bellhop with %d people ...", c.users+c.callers)
	bellhop, err := startBellhop(c.tools, "bellhop", c.dir, c.port+1, c.users+c.callers)
	defer func() { err = errors.Join(err, bellhop.stop()) }()
	if err != nil {
		return err
	}
	servers := []*server{kamailio, bellhop}
	if c.anchored {
		anchored, startErr := startBellhop(c.tools, "anchored", c.dir, c.port+4, c.users+c.callers)
		defer func() { err = errors.Join(err, anchored.stop()) }()
		if startErr != nil {
			return startErr
		}
		servers = append(servers, anchored)
	}
	if c.redis {
		redis, startErr := startRedis(ctx, c.tools, c.dir, c.port+5, c.port+7, c.users+c.callers)
		defer func() { err = errors.Join(err, redis.stop()) }()
		if startErr != nil {
			return startErr
		}
		servers = append(servers, redis)
	}
	for _, s := range servers {
		if err := c.register(ctx, s); err != nil {
			return err
		}
	}
	if c.registrations {
		if err := c.registers(ctx, kamailio, bellhop); err != nil {
			return err
		}
	}
	if !c.calls {
		return nil
	}
	if err := c.provide(ctx, servers); err != nil {
		return err
	}
	for _, s := range servers { // caches fill, memory is claimed
		if _, err := c.measure(ctx, s, 3*time.Second); err != nil {
			return err
		}
	}
	return c.turns(ctx, servers)
}

func (c *comparison) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.diag, "bench: "+format+"\n", args...) // nobody to tell
}

// writeLists writes who registers and who calls whom, as SIPp reads it.
func (c *comparison) writeLists() error {
	credentials := func(number int) string {
		return fmt.Sprintf("[authentication username=desk-%d password=%s]", number, password)
	}
	list := func(name string, first, n int) error {
		var b strings.Builder
		b.WriteString("SEQUENTIAL\n")
		for number := first; number < first+n; number++ {
			fmt.Fprintf(&b, "%d;%s\n", number, credentials(number))
		}
		return os.WriteFile(filepath.Join(c.dir, name), []byte(b.String()), 0o600)
	}
	var calls strings.Builder
	calls.WriteString("RANDOM\n")
	for i := range c.users {
		caller := firstNumber + rand.IntN(c.callers)
		fmt.Fprintf(&calls, "%d;%d;%s\n", firstNumber+c.callers+i, caller, credentials(caller))
	}
	return errors.Join(
		list("callers.csv", firstNumber, c.callers), list("callees.csv", firstNumber+c.callers, c.users),
		os.WriteFile(filepath.Join(c.dir, "calls.csv"), []byte(calls.String()), 0o600),
	)
}

// The ports of the phones: a request to a phone goes where its REGISTER came
// from, so the same port registers and answers.
func (c *comparison) calleePort() string { return strconv.Itoa(c.port + 2) }
func (c *comparison) callerPort() string { return strconv.Itoa(c.port + 3) }

// register registers all phones, each with a digest.
func (c *comparison) register(ctx context.Context, s *server) error {
	for _, l := range []struct {
		list, port string
		n          int
	}{{"callers.csv", c.callerPort(), c.callers}, {"callees.csv", c.calleePort(), c.users}} {
		before, err := s.time()
		if err != nil {
			return err
		}
		p, err := startPhone(ctx, c.tools, c.dir, s.name+"-register", "register.xml",
			"-inf", filepath.Join(c.dir, l.list), "-p", l.port, s.addr, "-r", "1000", "-m", strconv.Itoa(l.n))
		if err != nil {
			return err
		}
		if err := p.wait(); err != nil {
			return err
		}
		got, err := p.counts()
		if err != nil {
			return err
		}
		after, err := s.time()
		if err != nil {
			return err
		}
		if got.failed > 0 || got.calls != l.n {
			return fmt.Errorf("%s: %d of %d phones registered; see %s", s.name, got.calls-got.failed, l.n, p.dir)
		}
		if l.n == c.users {
			c.print("%s registers %d phones with digest: %.1f us each\n", s.name, l.n, perCall(after-before, l.n))
		}
	}
	return nil
}

func (c *comparison) print(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format, args...) // nobody to tell
}

func perCall(d time.Duration, calls int) float64 {
	return float64(d.Nanoseconds()) / 1000 / float64(max(calls, 1))
}

// turns measures the servers in turn and prints what comes out.
func (c *comparison) turns(ctx context.Context, servers []*server) error {
	costs := make([][]float64, len(servers))
	c.print("%-6s %-9s %8s %8s %7s %7s\n", "round", "server", "us/call", "calls", "failed", "resent")
	tries := 0
	for n := 1; len(costs[0]) < c.rounds; {
		if tries++; tries > 3*c.rounds {
			return errors.New("too few rounds count: lower -rate, or leave the machine alone")
		}
		turn, good := make([]round, len(servers)), true
		for i, s := range servers {
			r, err := c.measure(ctx, s, c.length)
			if err != nil {
				return err
			}
			turn[i], good = r, good && r.reason == ""
			c.print("%-6d %-9s %8.1f %8d %7d %7d %s\n", n, s.name, r.cost, r.calls, r.failed, r.retransmissions, r.reason)
		}
		if !good {
			continue
		}
		for i, r := range turn {
			costs[i] = append(costs[i], r.cost)
		}
		n++
	}
	medians := make(map[string]float64)
	for i, s := range servers {
		medians[s.name] = median(costs[i])
		c.print("median %-9s %8.1f\n", s.name, medians[s.name])
	}
	ratio := medians["bellhop"] / medians["kamailio"]
	c.print("calls_ratio %.3f\n", ratio)
	if c.anchored {
		c.print("anchored_ratio %.3f\n", medians["anchored"]/medians["kamailio"])
	}
	if c.redis {
		c.print("redis_calls_ratio %.3f (over Kamailio; over Bellhop without Redis: %.3f; what redis-server uses is in it)\n",
			medians["redis"]/medians["kamailio"], medians["redis"]/medians["bellhop"])
	}
	if c.gate > 0 && ratio > c.gate {
		return fmt.Errorf("calls_ratio %.3f is above %.3f", ratio, c.gate)
	}
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// measure makes calls for a time and says what each cost.
func (c *comparison) measure(ctx context.Context, s *server, length time.Duration) (r round, err error) {
	callee, err := startPhone(ctx, c.tools, c.dir, s.name+"-callee", "callee.xml", "-p", c.calleePort())
	if err != nil {
		return r, err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, callee.stop())
		}
	}()
	if err := pause(ctx, 500*time.Millisecond); err != nil {
		return r, err
	}
	var scraping sync.WaitGroup
	defer scraping.Wait()
	scrapeCtx, stopScraping := context.WithCancel(ctx)
	defer stopScraping()
	if c.features && s.api != nil {
		scraping.Go(func() { scrape(scrapeCtx, s.api) })
	}
	since := time.Now()
	before, err := s.time()
	if err != nil {
		return r, err
	}
	calls := int(length.Seconds() * float64(c.rate))
	caller, err := startPhone(ctx, c.tools, c.dir, s.name+"-caller", "caller.xml", "-inf", filepath.Join(c.dir, "calls.csv"),
		"-p", c.callerPort(), s.addr, "-r", strconv.Itoa(c.rate), "-m", strconv.Itoa(calls), "-l", "20000", "-timeout", fmt.Sprint(length+40*time.Second))
	if err != nil {
		return r, err
	}
	if err := caller.wait(); err != nil {
		return r, err
	}
	if err := pause(ctx, settle); err != nil {
		return r, err
	}
	after, err := s.time()
	if err != nil {
		return r, err
	}
	stopScraping()
	stopped = true
	if err := callee.stop(); err != nil {
		return r, err
	}
	for _, p := range []*phone{caller, callee} {
		n, err := p.counts()
		if err != nil {
			return r, err
		}
		if p == callee {
			n.calls, n.failed = 0, 0 // the caller's are the same calls
		}
		r.add(n)
	}
	r.cost = perCall(after-before, calls)
	r.reason, err = c.judge(ctx, s, r, calls, since)
	return r, err
}

// judge says why a round does not count.
func (c *comparison) judge(ctx context.Context, s *server, r round, calls int, since time.Time) (string, error) {
	switch {
	case r.calls != calls:
		return fmt.Sprintf("does not count: %d calls were to be made", calls), nil
	case float64(r.failed) > maxFailed*float64(calls):
		return "does not count: calls failed", nil
	case r.retransmissions > 0:
		return "does not count: messages were sent again", nil
	case s.api == nil:
		return "", nil
	}
	want := calls - r.failed
	for range 20 { // records come in batches
		answered, others, err := s.api.answered(ctx, since)
		if err != nil {
			return "", err
		}
		if answered == want && others <= r.failed {
			return "", nil
		}
		if answered > want {
			return "", fmt.Errorf("%d records of %d answered calls", answered, want)
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return "", err
		}
	}
	answered, others, err := s.api.answered(ctx, since)
	return "", errors.Join(fmt.Errorf("records of %d answered and %d other calls, where %d were answered and %d failed", answered, others, want, r.failed), err)
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// scrape reads the metrics as Prometheus would, only more often.
func scrape(ctx context.Context, a *api) {
	for pause(ctx, 5*time.Second) == nil {
		_ = a.do(ctx, http.MethodGet, "/metrics", nil, nil) // text, or an answer too late: reading it is the load
	}
}
