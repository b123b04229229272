package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// saved is how long a Bellhop may take until refreshes are in its database: what
// that costs is counted too.
const saved = 12 * time.Second

// The two works of a round of registrations, each with challenge and digest.
const (
	fresh   = "new"     // of phones that are not registered
	refresh = "refresh" // of phones that are
)

// registers measures registrations on the servers in turn and prints what each
// costs: of Kamailio in memory, of Kamailio with a database behind it, of Bellhop.
func (c *comparison) registers(ctx context.Context, kamailio, bellhop *server) (err error) {
	written, err := startKamailioDB(ctx, c.tools, c.dir, c.port+6)
	defer func() { err = errors.Join(err, written.stop()) }()
	if err != nil {
		return err
	}
	c.print("registrations: %s keeps them in memory only (usrloc db_mode 0);\n"+
		"  %s writes each to SQLite before the 200 (db_mode 1, WAL);\n"+
		"  %s writes new and moved ones to SQLite before the 200, in groups, refreshes within 30 s\n", kamailio.name, written.name, bellhop.name)
	c.print("%-6s %-11s %-8s %11s %8s %7s %7s\n", "round", "server", "work", "us/register", "phones", "failed", "resent")
	servers := []*server{kamailio, written, bellhop}
	costs := make(map[string][]float64)
	for n, tries := 1, 0; n <= c.rounds; tries++ {
		if tries == 3*c.rounds {
			return errors.New("too few rounds of registrations count: lower -register-rate, or leave the machine alone")
		}
		turn := make(map[string]float64)
		good := true
		for _, s := range servers {
			if _, err := c.registerRound(ctx, s, "unregister.xml", settle); err != nil {
				return err
			}
			for _, work := range []string{fresh, refresh} {
				wait := settle
				if s.api != nil && work == refresh {
					wait = saved
				}
				r, err := c.registerRound(ctx, s, "register.xml", wait)
				if err != nil {
					return err
				}
				turn[s.name+" "+work], good = r.cost, good && r.reason == ""
				c.print("%-6d %-11s %-8s %11.1f %8d %7d %7d %s\n", n, s.name, work, r.cost, r.calls, r.failed, r.retransmissions, r.reason)
			}
		}
		if !good {
			continue
		}
		for k, v := range turn {
			costs[k] = append(costs[k], v)
		}
		n++
	}
	for _, s := range servers {
		c.print("median %-11s new %.1f, refresh %.1f\n", s.name, median(costs[s.name+" "+fresh]), median(costs[s.name+" "+refresh]))
	}
	over := func(s *server, work string) float64 {
		return median(costs[bellhop.name+" "+work]) / median(costs[s.name+" "+work])
	}
	c.print("registers_ratio %.3f (new: %.3f), over Kamailio in memory\n", over(kamailio, refresh), over(kamailio, fresh))
	c.print("registers_written_ratio %.3f (new: %.3f), over Kamailio with a database\n", over(written, refresh), over(written, fresh))
	return nil
}

// registerRound has some of the phones run a scenario and says what each cost, with
// what is left to do in a time afterwards.
func (c *comparison) registerRound(ctx context.Context, s *server, scenario string, wait time.Duration) (r round, err error) {
	rate := c.registerRate
	if s.slow {
		rate = max(rate/10, 1)
	}
	n := min(c.users, 10*rate)
	before, err := s.time()
	if err != nil {
		return r, err
	}
	p, err := startPhone(ctx, c.tools, c.dir, s.name+"-registers", scenario, "-inf", filepath.Join(c.dir, "callees.csv"),
		"-p", c.calleePort(), s.addr, "-r", strconv.Itoa(rate), "-m", strconv.Itoa(n))
	if err != nil {
		return r, err
	}
	if err := p.wait(); err != nil {
		return r, err
	}
	if err := pause(ctx, wait); err != nil {
		return r, err
	}
	after, err := s.time()
	if err != nil {
		return r, err
	}
	if r.counts, err = p.counts(); err != nil {
		return r, err
	}
	r.cost = perCall(after-before, n)
	switch {
	case r.calls != n || float64(r.failed) > maxFailed*float64(n):
		r.reason = "does not count: phones were refused"
	case r.retransmissions > 0:
		r.reason = "does not count: messages were sent again"
	}
	return r, nil
}

// startKamailioDB starts a Kamailio that writes its locations through to SQLite.
func startKamailioDB(ctx context.Context, t tools, dir string, port int) (*server, error) {
	s := &server{name: "kamailio-db", slow: true, addr: "127.0.0.1:" + strconv.Itoa(port)}
	file := filepath.Join(dir, "kamailio.sqlite")
	if err := makeLocations(ctx, t, file); err != nil {
		return s, err
	}
	b, err := files.ReadFile("kamailio.cfg")
	if err != nil {
		return s, err
	}
	conf := strings.NewReplacer(
		"children=2", "children=1", // two are in each other's way: db_sqlite does not wait for a lock
		`loadmodule "usrloc.so"`, "loadmodule \"db_sqlite.so\"\nloadmodule \"usrloc.so\"",
		`modparam("usrloc", "db_mode", 0)`, fmt.Sprintf("modparam(\"usrloc\", \"db_mode\", 1)\nmodparam(\"usrloc\", \"db_url\", \"sqlite:///%s\")", file),
	).Replace(string(b))
	path := filepath.Join(dir, "kamailio-db.cfg")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return s, err
	}
	return s, s.startKamailio(ctx, t, dir, path)
}

// makeLocations makes the tables of usrloc as Kamailio's package has them. The
// write-ahead log, which the file keeps, is the cheapest journal there is.
func makeLocations(ctx context.Context, t tools, file string) error {
	cmd := exec.CommandContext(ctx, t.sqlite, file, "PRAGMA journal_mode=WAL;")
	for _, name := range []string{"standard-create.sql", "usrloc-create.sql"} {
		path := filepath.Join("/usr/share/kamailio/db_sqlite", name)
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w; on Debian it is in kamailio-sqlite-modules", err)
		}
		cmd.Args = append(cmd.Args, ".read "+path)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sqlite3: %w: %s", err, out)
	}
	return nil
}
