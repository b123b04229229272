package trunk

import (
	"math/rand/v2"
	"time"
)

// spread is a random time up to d: what begins at one time in many places must
// not go on like that.
func spread(d time.Duration) time.Duration { return rand.N(d) }

// around is d, a tenth more or less.
func around(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

// backoff is how long to wait after so many failures: the base, twice as long
// each time, at most limit, and of that between the half and the whole (RFC 5626
// §4.5).
func backoff(failures int, base, limit time.Duration) time.Duration {
	d := limit
	if failures < 16 {
		d = min(base<<max(failures-1, 0), limit)
	}
	return d/2 + rand.N(d/2+1)
}
