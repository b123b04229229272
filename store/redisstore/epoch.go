package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"bellhop/routing/directory"
)

// beatEvery is how often a node looks whether Redis has what it had.
const beatEvery = time.Second

// beat looks every second until ctx ends. It also finds out that Redis answers
// again.
func (s *Store) beat(ctx context.Context, n *node) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	var e epoch
	for {
		first := e.life == ""
		if e.look(ctx, s, n) {
			if first {
				s.log.LogAttrs(ctx, slog.LevelInfo, "Redis has nothing yet: it is filled")
			} else {
				s.log.LogAttrs(ctx, slog.LevelWarn, "Redis may have lost what it had: it is filled again")
			}
			s.refilled.Store(true)
			s.mu.Lock()
			clear(s.applied)
			s.mu.Unlock()
			nudge(s.resync)
			nudge(s.changed)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// epoch is the life of Redis as a node knows it: what it is called, how far it has
// counted, and which servers have it. A Redis that has another name, counts less,
// or is on another server may have lost something.
type epoch struct {
	life    string
	n       int64
	servers string
}

// look reports whether Redis may have lost something since the last time.
func (e *epoch) look(ctx context.Context, s *Store, n *node) (lost bool) {
	var servers string
	var policy error
	err := s.call(ctx, "inspect", batchTimeout, func(ctx context.Context) (err error) {
		servers, err = s.inspect(ctx)
		if errors.Is(err, ErrPolicy) { // an answer too
			policy, err = err, nil
		}
		return err
	})
	if err != nil {
		return false
	}
	if policy != nil {
		s.evicts(ctx, policy)
	} else {
		s.policy.OK()
		lost = e.servers != "" && servers != e.servers
		e.servers = servers
	}
	fresh := rand.Text()
	life, at, err := s.count(ctx, n, fresh, "")
	if err != nil {
		if lost {
			e.servers = "?" // the next look finds it
		}
		return false
	}
	rolledBack := life == e.life && at <= e.n
	lost = lost || rolledBack || life == fresh || e.life != "" && life != e.life
	if rolledBack { // the other nodes shall see it too
		if again, n, err := s.count(ctx, n, fresh, life); err == nil {
			life, at = again, n
		}
	}
	e.life, e.n = life, at
	return lost
}

// evicts notes that Redis may lose what it has.
func (s *Store) evicts(ctx context.Context, err error) {
	if s.policy.Fail("redis", "Redis evicts keys: set maxmemory-policy to noeviction") {
		s.log.LogAttrs(ctx, slog.LevelError, "Redis evicts keys", slog.Any("error", err))
	}
}

// count counts on in the life of Redis; one without a life, or with the one to be
// replaced, gets the name fresh.
func (s *Store) count(ctx context.Context, n *node, fresh, replace string) (life string, at int64, err error) {
	err = s.call(ctx, "epoch", batchTimeout, func(ctx context.Context) error {
		v, err := s.client.Eval(ctx, beatEpoch, []string{n.prefix + "{epoch}"}, fresh, replace).Slice()
		if err != nil {
			return err
		}
		if len(v) == 2 {
			text, ok := v[0].(string)
			number, ok2 := v[1].(int64)
			if ok && ok2 {
				life, at = text, number
				return nil
			}
		}
		return fmt.Errorf("redisstore: epoch is %v", v)
	})
	return life, at, err
}

// known returns what Redis is known to have of a domain.
func (s *Store) known(domain string) (directory.Version, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.applied[domain]
	return v, ok
}
