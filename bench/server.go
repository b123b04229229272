package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// A server is one that is measured.
type server struct {
	name string
	addr string // where SIP is spoken
	cmd  *exec.Cmd
	api  *api    // nil: it has none
	slow bool    // registrations come at a tenth of the rate: it syncs each on its own
	with *server // what it keeps its state in, measured with it; nil: nothing
}

// Secrets of the comparison: kamailio.cfg has the same.
const (
	password = "secret"
	domain   = "bellhop.test"
)

// startKamailio starts Kamailio with memory enough: with its defaults it runs
// out of it and costs four times as much.
func startKamailio(ctx context.Context, t tools, dir string, port int) (*server, error) {
	s := &server{name: "kamailio", addr: "127.0.0.1:" + strconv.Itoa(port)}
	return s, s.startKamailio(ctx, t, dir, filepath.Join(dir, "kamailio.cfg"))
}

func (s *server) startKamailio(ctx context.Context, t tools, dir, conf string) error {
	return s.start(ctx, dir, t.kamailio, "-m", "2048", "-M", "64", "-x", "fm", "-X", "fm", "-f", conf, "-l", "udp:"+s.addr, "-DD", "-E")
}

// startBellhop starts a demo with users enough and waits until it is up. SIPp
// answers MD5 challenges only, so both servers ask for MD5.
func startBellhop(t tools, name, dir string, port, users int, more ...string) (*server, error) {
	s := &server{name: name, addr: "127.0.0.1:" + strconv.Itoa(port)}
	state := filepath.Join(dir, name)
	r, w, err := os.Pipe()
	if err != nil {
		return s, err
	}
	defer r.Close()
	s.cmd = exec.Command(t.bellhop, append([]string{ //nolint:noctx // ended by stop, in its turn
		"demo", "--dir", state, "--sip", s.addr, "--https", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
		"--users", strconv.Itoa(users), "--password", password, "--digest", "md5",
	}, more...)...)
	s.cmd.Stdout = w
	err = s.spawn(dir)
	err = errors.Join(err, w.Close())
	if err != nil {
		return s, err
	}
	late := time.AfterFunc(2*time.Minute, func() { _ = r.Close() }) // ends the reading
	line, err := bufio.NewReader(r).ReadBytes('\n')
	late.Stop()
	if err != nil {
		return s, fmt.Errorf("bellhop did not come up (see %s): %w", filepath.Join(dir, s.name+".log"), err)
	}
	var info struct {
		HTTPS string `json:"https"`
		Token string `json:"admin_token"`
	}
	if err := json.Unmarshal(line, &info); err != nil {
		return s, fmt.Errorf("bellhop: %w", err)
	}
	s.api, err = newAPI(info.HTTPS, info.Token, filepath.Join(state, "cert.pem"))
	return s, err
}

func (s *server) start(_ context.Context, dir, program string, args ...string) error {
	s.cmd = exec.Command(program, args...) //nolint:noctx // ended by stop, in its turn
	return s.spawn(dir)
}

// spawn starts the process, in a group of its own so that ^C leaves it to us.
func (s *server) spawn(dir string) error {
	log, err := os.Create(filepath.Join(dir, s.name+".log"))
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	s.cmd.Dir, s.cmd.Stderr = dir, log
	if s.cmd.Stdout == nil {
		s.cmd.Stdout = log
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return s.cmd.Start()
}

// startRedis starts a Bellhop that keeps its copies in a Redis of its own.
func startRedis(ctx context.Context, t tools, dir string, port, redisPort, users int) (*server, error) {
	redis := &server{name: "redis-server", addr: "127.0.0.1:" + strconv.Itoa(redisPort)}
	if err := redis.start(ctx, dir, t.redisServer, "--bind", "127.0.0.1", "--port", strconv.Itoa(redisPort), "--save", "", "--appendonly", "no"); err != nil {
		return &server{with: redis}, err
	}
	for try := 0; ; try++ { // it has no way to say that it is up
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", redis.addr)
		if err == nil {
			_ = conn.Close() // it was to be had
			break
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil || try == 50 {
			return &server{with: redis}, fmt.Errorf("redis-server does not listen on %s: %w", redis.addr, err)
		}
	}
	s, err := startBellhop(t, "redis", dir, port, users, "--redis", "redis://"+redis.addr)
	s.with = redis
	return s, err
}

// stop ends the process and waits for it, then what it had its state in.
func (s *server) stop() error {
	err := s.end()
	if s.with != nil {
		err = errors.Join(err, s.with.end())
	}
	return err
}

func (s *server) end() error {
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	timer := time.AfterFunc(15*time.Second, func() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }) // its own group
	defer timer.Stop()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	return nil
}

// time is the processor time that the server has used, with that of what it keeps
// its state in.
func (s *server) time() (time.Duration, error) {
	used, err := treeTime(s.cmd.Process.Pid)
	if s.with == nil || err != nil {
		return used, err
	}
	more, err := s.with.time()
	return used + more, err
}
