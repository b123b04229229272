package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A Postgres is a PostgreSQL server of its own, in a folder of its own, on a Unix
// socket there. Make one with [StartPostgres].
type Postgres struct {
	bin, dir string
	as       *syscall.SysProcAttr // who runs it: the server refuses root
	schemas  atomic.Int64
	port     int // of TLS on loopback, and in the name of the socket; 0: only the socket, of 5432
	cmd      *exec.Cmd
	ended    chan struct{}
	log      *os.File
}

// StartPostgres makes a server and starts it. It ends with the process at the
// latest; close it with [Postgres.Close].
func StartPostgres() (p *Postgres, err error) {
	p = &Postgres{}
	if p.bin, err = postgresBin(); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp("", "pg"); err != nil { // short: the path of a socket has 107 bytes
		return nil, err
	}
	if err := p.make(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	if err := p.Start(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// postgresBin finds the programs of the server: Debian keeps them off the PATH.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed: run make setup")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// make makes the folder of the server.
func (p *Postgres) make() error {
	p.as = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() == 0 {
		who, err := user.Lookup("nobody")
		if err != nil {
			return err
		}
		uid, err := strconv.Atoi(who.Uid)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(who.Gid)
		if err != nil {
			return err
		}
		p.as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(p.dir, uid, gid); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(context.Background(), filepath.Join(p.bin, "initdb"), "--no-sync", "-A", "trust", "-U", "bellhop", "-E", "UTF8", "--locale", "C.UTF-8", "-D", filepath.Join(p.dir, "data"))
	cmd.Dir, cmd.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: p.as.Credential}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	access := filepath.Join(p.dir, "data", "pg_hba.conf") // the first line that fits counts
	text, err := os.ReadFile(access)
	if err != nil {
		return err
	}
	return os.WriteFile(access, append([]byte("local all "+PasswordUser+" scram-sha-256\n"), text...), 0o600)
}

// PasswordUser is a role that has to show its password, once somebody makes it.
const PasswordUser = "locked"

// Start starts the server and waits until it serves.
func (p *Postgres) Start() (err error) {
	if p.log, err = os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	p.cmd = exec.CommandContext(context.Background(), filepath.Join(p.bin, "postgres"), "-D", filepath.Join(p.dir, "data"), "-k", p.dir,
		"-c", "listen_addresses="+p.listens(), "-c", "port="+strconv.Itoa(cmp.Or(p.port, 5432)), "-c", "ssl="+strconv.FormatBool(p.port != 0), "-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=200", "-c", "log_min_messages=fatal")
	p.cmd.Dir, p.cmd.SysProcAttr, p.cmd.Stdout, p.cmd.Stderr = p.dir, p.as, p.log, p.log
	p.ended = make(chan struct{})
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // its end ends the server (Pdeathsig)
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // it was told to end
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); <-time.After(20 * time.Millisecond) {
		if out, err := p.SQL("SELECT 1"); err == nil && strings.TrimSpace(out) == "1" {
			return nil
		}
	}
	text, err := os.ReadFile(p.log.Name())
	return errors.Join(errors.New("PostgreSQL does not start"), err, errors.New(string(text)))
}

func (p *Postgres) listens() string {
	if p.port == 0 {
		return ""
	}
	return "127.0.0.1"
}

// ServeTLS starts the server again, so that it listens on a port of loopback too, for
// TLS alone and with passwords.
func (p *Postgres) ServeTLS(t testing.TB, cert, key []byte) (port int) {
	t.Helper()
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(p.dir, "data")
	access, err := os.ReadFile(filepath.Join(data, "pg_hba.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"pg_hba.conf": append([]byte("hostnossl all all all reject\nhostssl all all all scram-sha-256\n"), access...),
		"server.crt":  cert, "server.key": key,
	} {
		path := filepath.Join(data, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if c := p.as.Credential; c != nil {
			if err := os.Chown(path, int(c.Uid), int(c.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.port = freePort(t)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p.port
}

// SQL runs a statement as an operator would, and returns what it prints.
func (p *Postgres) SQL(statement string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(context.Background(), "psql", "-XAtq", "-h", p.dir, "-p", strconv.Itoa(cmp.Or(p.port, 5432)), "-U", "bellhop", "-d", "postgres", "-c", statement)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, stderr.Bytes())
	}
	return string(out), nil
}

// Kill kills the server and all its processes, as a crash would.
func (p *Postgres) Kill() error { return p.signal(syscall.SIGKILL) }

// Stall stops the server from working, Resume lets it go on.
func (p *Postgres) Stall() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a server go on that was stalled.
func (p *Postgres) Resume() error { return p.signal(syscall.SIGCONT) }

// signal sends a signal to the server and its children.
func (p *Postgres) signal(s syscall.Signal) error {
	pid := p.cmd.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		return err
	}
	for child := range strings.FieldsSeq(string(text)) {
		n, err := strconv.Atoi(child)
		if err != nil {
			return err
		}
		if err := syscall.Kill(n, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	if s == syscall.SIGKILL {
		<-p.ended
		return p.log.Close()
	}
	return nil
}

// Close stops the server and removes its folder.
func (p *Postgres) Close() error {
	var errs []error
	if p.cmd != nil && p.cmd.ProcessState == nil {
		errs = append(errs, p.stop())
	}
	return errors.Join(append(errs, os.RemoveAll(p.dir))...)
}

// stop stops the server, and waits until it has.
func (p *Postgres) stop() error {
	err := p.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
	<-p.ended
	return errors.Join(err, p.log.Close())
}

// Schema makes a schema for a test and returns the URL of the database with it.
func (p *Postgres) Schema(t testing.TB) string {
	t.Helper()
	name := "t" + strconv.FormatInt(p.schemas.Add(1), 10)
	if _, err := p.SQL("CREATE SCHEMA " + name); err != nil {
		t.Fatal(err)
	}
	return p.URL(url.Values{"search_path": {name}})
}

// URL is the address of the server.
func (p *Postgres) URL(more url.Values) string {
	q := url.Values{"host": {p.dir}}
	for k, v := range more {
		q[k] = slices.Clone(v)
	}
	return "postgres://bellhop@/postgres?" + q.Encode()
}
