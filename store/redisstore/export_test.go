package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"bellhop/routing/location"
	"bellhop/store/binding"
)

// Lookup returns the bindings of an AOR as Redis has them; false when it has none,
// not even that they are gone.
func (s *Store) Lookup(ctx context.Context, a location.AOR) (r binding.Row, ok bool, err error) {
	n := s.node.Load()
	if n == nil {
		return r, false, errAway
	}
	var value string
	err = s.call(ctx, "lookup", batchTimeout, func(ctx context.Context) (err error) {
		value, err = s.client.Get(ctx, n.locationKey(a)).Result()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	parts := strings.SplitN(value, " ", 3)
	if len(parts) != 3 || parts[0] != "1" {
		return r, false, fmt.Errorf("%w: of a newer release", location.ErrFormat)
	}
	r = binding.Row{AOR: a, Packed: parts[2]}
	r.Version, err = strconv.ParseUint(parts[1], 10, 64)
	return r, err == nil, err
}
