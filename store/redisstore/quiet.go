package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// quiet drops what the client library would write to standard error: each failure
// is an error of a call as well, which is logged and counted once.
type quiet struct{}

// Printf implements the logger of the library.
func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) } //nolint:gochecknoinits // the library has one logger for the process, which must be set before its first client
