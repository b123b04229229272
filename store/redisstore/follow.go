package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"bellhop/routing/directory"
	"bellhop/store/cache"
)

const (
	keepCopy    = 24 * time.Hour      // without being made again
	keepChanges = 30 * 24 * time.Hour // after the last one of a domain
	maxChanges  = 10_000              // names of a domain that changed; then all its copies are invalid
	maxRows     = 1000                // of history, read at once
	maxKeep     = 1000                // copies that wait to be written
	followEvery = time.Minute         // whatever was heard
)

// kept is a copy that waits to be written.
type kept struct {
	domain, name string
	at           directory.Version
	depends      []string
	packed       []byte
}

// Copy implements [cache.Copies].
func (s *Store) Copy(ctx context.Context, domain, name string, at directory.Version) []byte {
	n := s.node.Load()
	if n == nil {
		return nil
	}
	var v any
	err := s.call(ctx, "copy", askTimeout, func(ctx context.Context) (err error) {
		v, err = s.client.Eval(ctx, getCopy, []string{n.copyKey(domain, name), n.changesKey(domain)}, number(at)).Result()
		return err
	})
	if err != nil {
		s.metrics.copies.WithLabelValues("miss").Inc()
		return nil
	}
	switch v := v.(type) {
	case string:
		s.metrics.copies.WithLabelValues("hit").Inc()
		return []byte(v)
	default: // Redis is behind what this process knows
		s.metrics.copies.WithLabelValues("behind").Inc()
		s.mu.Lock()
		delete(s.applied, domain)
		s.mu.Unlock()
		return nil
	}
}

// Keep implements [cache.Copies].
func (s *Store) Keep(domain, name string, at directory.Version, depends []string, packed []byte) {
	s.mu.Lock()
	if len(s.keep) < maxKeep && !s.health.Failing() {
		s.keep = append(s.keep, kept{domain, name, at, depends, packed})
	}
	s.mu.Unlock()
	nudge(s.wake)
}

// Changed implements [cache.Copies].
func (s *Store) Changed() {
	s.metrics.behind.Begin(time.Now())
	nudge(s.changed)
}

// Keys of a domain share a hash tag, which must not be empty for the system's.

func (n *node) copyKey(domain, name string) string {
	return n.prefix + "copy:{d/" + domain + "}:" + name
}
func (n *node) changesKey(domain string) string { return n.prefix + "changes:{d/" + domain + "}" }

// putCopies writes copies.
func (s *Store) putCopies(ctx context.Context, n *node, copies []kept) error {
	if len(copies) == 0 {
		return nil
	}
	return s.call(ctx, "keep", batchTimeout, func(ctx context.Context) error {
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, k := range copies {
				p.Eval(ctx, setCopy, []string{n.copyKey(k.domain, k.name)}, number(k.at), strings.Join(k.depends, "\n"), k.packed, int(keepCopy.Seconds()))
			}
			return nil
		})
		return err
	})
}

// follow applies history to Redis until ctx ends: after commits of this node, and
// now and then for those of nodes that died before they could.
func (s *Store) follow(ctx context.Context, n *node) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	again := time.NewTimer(retry)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-tick.C:
		case <-again.C:
		}
		at := time.Now()
		if err := s.followNow(ctx, n); err != nil {
			if ctx.Err() == nil && !errors.Is(err, errAway) {
				s.log.LogAttrs(ctx, slog.LevelWarn, "changes not applied to Redis", slog.Any("error", err))
			}
			s.metrics.behind.Begin(at)
			again.Reset(retry)
			continue
		}
		s.metrics.behind.End(at)
	}
}

// followNow applies what Redis does not have yet, and announces it.
func (s *Store) followNow(ctx context.Context, n *node) error {
	versions, err := n.source.Versions(ctx)
	if err != nil {
		return err
	}
	news := false
	for domain, v := range versions {
		if known, ok := s.known(domain); ok && known == v {
			continue
		}
		applied, err := s.followDomain(ctx, n, domain, v)
		if err != nil {
			return fmt.Errorf("domain %q: %w", domain, err)
		}
		news = news || applied
		s.mu.Lock()
		s.applied[domain] = v
		s.mu.Unlock()
	}
	if !news {
		return nil
	}
	return s.call(ctx, "announce", batchTimeout, func(ctx context.Context) error {
		return s.client.Publish(ctx, n.prefix+"settings", "1").Err()
	})
}

// followDomain brings a domain to a version, and reports whether it was not there
// already.
func (s *Store) followDomain(ctx context.Context, n *node, domain string, to directory.Version) (bool, error) {
	key := []string{n.changesKey(domain)}
	var at uint64
	err := s.call(ctx, "follow", batchTimeout, func(ctx context.Context) (err error) {
		at, err = s.client.HGet(ctx, key[0], "@").Uint64()
		return err
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, err
	}
	for moved := false; ; moved = true {
		if at >= number(to) {
			return moved, nil
		}
		script, args, err := n.changes(ctx, domain, at, to)
		if err != nil {
			return false, err
		}
		err = s.call(ctx, "follow", batchTimeout, func(ctx context.Context) error {
			is, err := s.client.Eval(ctx, script, key, args...).Text()
			if err == nil {
				at, err = strconv.ParseUint(is, 10, 64)
			}
			return err
		})
		if err != nil {
			return false, err
		}
	}
}

// changes returns what brings Redis from one version of a domain to another one.
func (n *node) changes(ctx context.Context, domain string, from uint64, to directory.Version) (script string, args []any, err error) {
	var rows []directory.Document
	if from != 0 {
		if rows, err = n.source.Changes(ctx, domain, version(from), maxRows); err != nil {
			return "", nil, err
		}
	}
	args = []any{from, number(to), int(keepChanges.Seconds())}
	if from == 0 || len(rows) == maxRows || !cache.Covers(rows, version(from), to) {
		return forgetCopies, args, nil
	}
	args = append(args, maxChanges, cache.SecretsChanged, number(to))
	for i := range rows {
		for _, name := range cache.Touches(&rows[i]) {
			args = append(args, name, number(rows[i].Version))
		}
	}
	return applyChanges, args, nil
}
