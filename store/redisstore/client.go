package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Times of calls.
const (
	askTimeout   = 50 * time.Millisecond  // a question that somebody waits for, retry included (trust.md §3)
	batchTimeout = 500 * time.Millisecond // a batch of writes, for which nobody waits
	startTimeout = 2 * time.Second        // the questions at the start
	openFor      = time.Second            // nobody asks after failures
	failures     = 3                      // that many in a row
)

// Errors of a store.
var (
	// ErrURL reports a URL that does not say where a Redis is that may be used.
	ErrURL = errors.New("redisstore: url")
	// ErrPolicy reports a Redis that evicts keys to make room.
	ErrPolicy = errors.New("redisstore: maxmemory-policy")
	// ErrRefused reports a Redis that does not let us in, or not do what we must: a
	// password, a user or its rights (ACL), a database, a mode that are wrong.
	ErrRefused = errors.New("redisstore: Redis refuses")
	// errAway reports a Redis that is not asked, because it did not answer lately.
	errAway = errors.New("redisstore: away")
)

// Check reports what is wrong with a URL, [ErrURL]. Its scheme is redis, rediss
// (TLS) or unix for one server, redis+sentinel or rediss+sentinel with master_name,
// redis+cluster or rediss+cluster; addr, which may be repeated, names more
// Sentinels or nodes. Without a password Redis must be on this host.
func Check(text string) error {
	_, err := parse(text)
	return err
}

// parse reads a URL. Errors do not show it, since it has a password in it.
func parse(text string) (*redis.UniversalOptions, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, fmt.Errorf("%w: want redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH", ErrURL)
	}
	base, mode, _ := strings.Cut(scheme, "+")
	o := &redis.UniversalOptions{}
	switch mode {
	case "":
		one, err := redis.ParseURL(text)
		if err != nil {
			return nil, unreadable(err)
		}
		o.Addrs, o.DB, o.Username, o.Password, o.TLSConfig = []string{one.Addr}, one.DB, one.Username, one.Password, one.TLSConfig
		o.Dialer = dialer(one.Network)
	case "sentinel":
		f, err := redis.ParseFailoverURL(base + "://" + rest)
		if err != nil {
			return nil, unreadable(err)
		}
		if f.MasterName == "" {
			return nil, fmt.Errorf("%w: master_name is missing", ErrURL)
		}
		o.Addrs, o.MasterName, o.DB, o.Username, o.Password, o.TLSConfig = f.SentinelAddrs, f.MasterName, f.DB, f.Username, f.Password, f.TLSConfig
		o.SentinelUsername, o.SentinelPassword = f.SentinelUsername, f.SentinelPassword // those before the @; of Redis they are username and password
	case "cluster":
		c, err := redis.ParseClusterURL(base + "://" + rest)
		if err != nil {
			return nil, unreadable(err)
		}
		o.Addrs, o.IsClusterMode, o.Username, o.Password, o.TLSConfig = c.Addrs, true, c.Username, c.Password, c.TLSConfig
	default:
		return nil, fmt.Errorf("%w: %q is neither sentinel nor cluster", ErrURL, mode)
	}
	for _, at := range o.Addrs {
		if o.Password == "" && base != "unix" && !loopback(at) {
			return nil, fmt.Errorf("%w: %s is another host: it needs a password", ErrURL, at)
		}
	}
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = 1, time.Millisecond, 5*time.Millisecond
	o.DialTimeout, o.DialerRetries = batchTimeout, 1
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = batchTimeout, batchTimeout, askTimeout
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, nil
}

// unreadable is the error for a URL that is none. That of the library may show it.
func unreadable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%w: %w", ErrURL, err)
}

// dialer connects to a server on a Unix socket; nil lets the client connect.
func dialer(network string) func(ctx context.Context, _, addr string) (net.Conn, error) {
	if network != "unix" {
		return nil
	}
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		d := net.Dialer{Timeout: batchTimeout}
		return d.DialContext(ctx, "unix", addr)
	}
}

func loopback(at string) bool {
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		host = at
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// inspect asks every server that takes writes whether it keeps what it has
// ([ErrPolicy]), and returns which ones they are: after a restart a server is
// another one.
func (s *Store) inspect(ctx context.Context) (servers string, err error) {
	var mu sync.Mutex // guards ids
	var ids []string
	c, cluster := s.client.(*redis.ClusterClient)
	ask := func(ctx context.Context, c redis.Cmdable) error {
		info, err := c.Info(ctx).Result()
		if err != nil {
			return err
		}
		for line := range strings.Lines(info) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch {
			case name == "redis_mode" && value == "cluster" && !cluster:
				return fmt.Errorf("%w: it is one of a cluster, whose URL is redis+cluster://", ErrRefused)
			case name == "maxmemory_policy" && value != "noeviction":
				return fmt.Errorf("%w is %s: set it to noeviction, or registrations are lost when memory is short", ErrPolicy, value)
			case name == "run_id":
				mu.Lock()
				ids = append(ids, value)
				mu.Unlock()
			}
		}
		return nil
	}
	if cluster {
		err = c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return ask(ctx, c) })
	} else {
		err = ask(ctx, s.client)
	}
	slices.Sort(ids)
	return strings.Join(ids, " "), err
}

// breaker keeps questions from a Redis that does not answer.
type breaker struct {
	mu     sync.Mutex
	failed int       // in a row
	until  time.Time // nobody asks until then
}

// allow reports whether Redis may be asked. After a pause one asks for all.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed < failures {
		return true
	}
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(openFor)
	return true
}

// report takes what became of a question, and reports whether Redis is away now.
func (b *breaker) report(ok bool, now time.Time) (open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		b.failed = 0
		return false
	}
	b.failed++
	b.until = now.Add(openFor)
	return b.failed >= failures
}

func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed >= failures
}

// call asks Redis, within limit. [redis.Nil] is an answer.
func (s *Store) call(ctx context.Context, what string, limit time.Duration, f func(ctx context.Context) error) error {
	start := time.Now()
	if !s.breaker.allow(start) {
		s.metrics.refused.Inc()
		return errAway
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := f(limited)
	s.metrics.seconds.WithLabelValues(what).Observe(time.Since(start).Seconds())
	if err == nil || errors.Is(err, redis.Nil) {
		if s.breaker.report(true, time.Now()); s.health.OK() {
			s.log.LogAttrs(ctx, slog.LevelInfo, "Redis answers again")
		}
		return err
	}
	if ctx.Err() != nil { // not the fault of Redis
		return err
	}
	s.metrics.errors.WithLabelValues(what).Inc()
	if s.breaker.report(false, time.Now()) {
		s.away(ctx, err)
	}
	return err
}

// away notes that Redis does not answer.
func (s *Store) away(ctx context.Context, err error) {
	what := "does not answer"
	if refused(err) {
		what = "refuses (password, rights)"
	}
	if s.health.Fail("redis", "Redis "+what+": calls go on from memory and the database, other nodes learn late of what changes") {
		s.log.LogAttrs(ctx, slog.LevelError, "Redis does not do what it is asked", slog.Any("error", err))
	}
}
