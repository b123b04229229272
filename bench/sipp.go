package main

import (
	"context"
	"embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed *.xml kamailio.cfg
var files embed.FS

// writeFiles puts scenarios and configuration into the folder.
func writeFiles(dir string) error {
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), b, 0o600)
	})
}

// A counts is what one SIPp saw.
type counts struct {
	calls, failed   int // calls that ended, of these failed
	retransmissions int // messages sent again, by either side
}

// add sums up.
func (c *counts) add(d counts) {
	c.calls += d.calls
	c.failed += d.failed
	c.retransmissions += d.retransmissions
}

// A phone is a SIPp that runs.
type phone struct {
	cmd *exec.Cmd
	dir string // of its statistics
}

// startPhone starts SIPp with a scenario in a folder of its own.
func startPhone(ctx context.Context, t tools, dir, name, scenario string, args ...string) (*phone, error) {
	p := &phone{dir: filepath.Join(dir, name)}
	if err := os.RemoveAll(p.dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // SIPp has its own
	args = append([]string{
		"-sf", filepath.Join(dir, scenario), "-i", "127.0.0.1", "-nostdin", "-buff_size", "4194304",
		"-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_counts", "-trace_err", "-error_file", "errors",
	}, args...)
	p.cmd = exec.CommandContext(ctx, t.sipp, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, log, log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	return p, p.cmd.Start()
}

// stop ends one that waits for calls: when those it has are over, or after a
// while without them.
func (p *phone) stop() error {
	end := func() error { return p.cmd.Process.Signal(syscall.SIGUSR1) }
	if err := end(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	for _, after := range []time.Duration{3 * time.Second, 4 * time.Second} { // once more: now
		timer := time.AfterFunc(after, func() { _ = end() }) // it may have ended
		defer timer.Stop()
	}
	last := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer last.Stop()
	return p.wait()
}

// wait waits for its end. A failed call is no error: it is counted.
func (p *phone) wait() error {
	err := p.cmd.Wait()
	if e, ok := errors.AsType[*exec.ExitError](err); ok && !e.Sys().(syscall.WaitStatus).Signaled() {
		switch e.ExitCode() {
		case 1, 97, 99: // calls failed, it was told to end with calls open, or without any
			return nil
		default:
		}
	}
	if err != nil {
		return fmt.Errorf("sipp in %s: %w", p.dir, err)
	}
	return nil
}

// counts reads the statistics of one that ended.
func (p *phone) counts() (c counts, err error) {
	row, err := lastRow(filepath.Join(p.dir, "stat.csv"))
	if err != nil {
		return c, err
	}
	for _, f := range []struct {
		name string
		to   *int
	}{{"SuccessfulCall(C)", &c.calls}, {"FailedCall(C)", &c.failed}, {"Retransmissions(C)", &c.retransmissions}} {
		if *f.to, err = strconv.Atoi(row[f.name]); err != nil {
			return c, fmt.Errorf("statistics of sipp: %s: %w", f.name, err)
		}
	}
	c.calls += c.failed
	// What the other side sent again is only among the counts of messages.
	names, err := filepath.Glob(filepath.Join(p.dir, "*_counts.csv"))
	if err != nil || len(names) != 1 {
		return c, errors.Join(fmt.Errorf("no counts of sipp in %s", p.dir), err)
	}
	if row, err = lastRow(names[0]); err != nil {
		return c, err
	}
	for name, value := range row {
		if strings.HasSuffix(name, "_Recv_Retrans") || strings.HasSuffix(name, "_Retrans") {
			n, err := strconv.Atoi(value)
			if err != nil {
				return c, fmt.Errorf("counts of sipp: %s: %w", name, err)
			}
			c.retransmissions = max(c.retransmissions, n)
		}
	}
	return c, nil
}

// lastRow reads the last line of a table under its heads.
func lastRow(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = ';', -1, true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	out := make(map[string]string)
	last := rows[len(rows)-1]
	for i, head := range rows[0] {
		if i < len(last) {
			out[head] = last[i]
		}
	}
	return out, nil
}
