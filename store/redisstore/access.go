package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// refused reports whether an error is the answer of a Redis that will say the same
// next time, until somebody changes its configuration or ours.
func refused(err error) bool {
	answer, ok := errors.AsType[redis.Error](err)
	if !ok || errors.Is(err, redis.Nil) || redis.IsMaxClientsError(err) {
		return false
	}
	if redis.IsAuthError(err) || redis.IsPermissionError(err) {
		return true
	}
	text := answer.Error()
	return strings.HasPrefix(text, "ERR ") || strings.HasPrefix(text, "DENIED ")
}

// tryAll does once, on a key and a channel of its own, all that we ever do: a user
// who may not is found at the start, not in the first call that needs it. KEYS: the
// key; ARGV: the channel.
const tryAll = `
redis.call('SET', KEYS[1], '', 'PXAT', 1)
redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'n', 0)
redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('HGET', KEYS[1], 'n')
redis.call('HMGET', KEYS[1], 'n')
redis.call('HLEN', KEYS[1])
redis.call('EXPIRE', KEYS[1], 1)
redis.call('PUBLISH', ARGV[1], '')
return 1`

// try looks whether we may do what we must, [ErrRefused].
func (s *Store) try(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	channel := n.prefix + "try"
	err := s.client.Eval(ctx, tryAll, []string{n.prefix + "{try}"}, channel).Err()
	if err == nil {
		sub := s.client.Subscribe(ctx, channel)
		_, err = sub.Receive(ctx)
		err = errors.Join(err, sub.Close())
	}
	switch {
	case refused(err):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case err != nil:
		s.away(ctx, err)
	}
	return nil
}
