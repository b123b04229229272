// Command bench compares Bellhop with another SIP server, Kamailio from Debian:
// the same work in turn, in several rounds, on one machine. It prints what each
// of them costs in microseconds of processor time per call, and calls_ratio,
// Bellhop's cost over Kamailio's. `make compare` runs it; README.md says what
// is compared and what makes a round count.
//
// It owns the processes it starts and the goroutine that reads metrics, and
// waits for all of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	rate, rounds, users, callers int
	length                       time.Duration
	features, anchored           bool
	calls, registrations, redis  bool
	registerRate                 int
	gate                         float64
	binary, keep                 string
	port                         int
}

// run does all of it.
func run(ctx context.Context, args []string, out, diag io.Writer) error {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(diag)
	fs.IntVar(&o.rate, "rate", 600, "calls a second; too many make retransmissions, and then no round counts")
	fs.DurationVar(&o.length, "length", 10*time.Second, "how long calls are made in a round")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds that count, of each server")
	fs.IntVar(&o.users, "users", 10_000, "registered phones that are called")
	fs.IntVar(&o.callers, "callers", 100, "registered phones that call")
	fs.BoolVar(&o.features, "features", false, "Bellhop's callees have forwards, do not disturb and presence set, and metrics are read")
	fs.BoolVar(&o.anchored, "anchored", true, "measure a second Bellhop that anchors every call, too, and print anchored_ratio")
	fs.BoolVar(&o.redis, "redis", true, "measure a Bellhop with Redis, too, and print redis_calls_ratio")
	fs.BoolVar(&o.calls, "calls", true, "measure calls")
	fs.BoolVar(&o.registrations, "registers", true, "measure registrations, and print registers_ratio")
	fs.IntVar(&o.registerRate, "register-rate", 1500, "registrations a second where they are measured; ten seconds of them at most, each phone once, are a round; Kamailio with a database gets a tenth")
	fs.Float64Var(&o.gate, "gate", 0, "fail when calls_ratio is above it; 0: do not")
	fs.StringVar(&o.binary, "bellhop", "bin/bellhop", "the daemon")
	fs.StringVar(&o.keep, "keep", "", "`folder` for logs and state; default: one that is removed at the end")
	fs.IntVar(&o.port, "port", 5070, "UDP ports on loopback: Kamailio has this one, Bellhop the next, the phones the two after that, the Bellhop that anchors the one after these, then that with Redis, Kamailio with a database, and Redis")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("%q: no arguments are expected", fs.Arg(0))
	case o.rate < 1 || o.rounds < 1 || o.users < 1 || o.callers < 1 || o.registerRate < 1 || o.length < time.Second:
		return errors.New("rates, rounds, users and callers are at least 1, length is at least 1s")
	}
	o.anchored, o.redis = o.anchored && o.calls, o.redis && o.calls
	tools, err := findTools(o.binary)
	if err != nil {
		return err
	}
	dir := o.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "bench-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	c := &comparison{options: o, tools: tools, dir: dir, out: out, diag: diag}
	return c.run(ctx)
}

// tools are the programs that a comparison needs.
type tools struct{ kamailio, sipp, redisServer, sqlite, bellhop string }

// findTools finds them, or says how to get what is missing.
func findTools(binary string) (t tools, err error) {
	var missing []string
	look := func(pkg string, names ...string) string {
		for _, name := range names {
			if path, err := exec.LookPath(name); err == nil {
				return path
			}
		}
		missing = append(missing, pkg)
		return ""
	}
	t.kamailio = look("kamailio", "kamailio", "/usr/sbin/kamailio") // sbin is in root's path alone
	t.sipp = look("sip-tester", "sipp")
	t.sqlite = look("sqlite3", "sqlite3")
	t.redisServer = look("redis-server", "redis-server")
	if len(missing) > 0 {
		return t, fmt.Errorf("MISSING: %s\nOn Debian: apt-get install --no-install-recommends %[1]s (make compare does that by itself)", strings.Join(missing, " "))
	}
	if t.bellhop, err = filepath.Abs(binary); err != nil {
		return t, err
	}
	if _, err := os.Stat(t.bellhop); err != nil {
		return t, fmt.Errorf("no daemon to measure: %w; make build makes it", err)
	}
	return t, nil
}
