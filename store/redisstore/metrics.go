package redisstore

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a store shows.
type metrics struct {
	seconds *prometheus.HistogramVec
	errors  *prometheus.CounterVec
	copies  *prometheus.CounterVec
	refused prometheus.Counter
	fills   prometheus.Counter
	behind  lag
}

func newMetrics(r prometheus.Registerer, s *Store) *metrics {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "redis", Name: name, Help: help}
	}
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "bellhop", Subsystem: "redis", Name: "call_seconds", Help: "Time of calls to Redis, by what they are for.",
			Buckets: []float64{1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.5},
		}, []string{"what"}),
		errors:  prometheus.NewCounterVec(opts("errors_total", "Calls to Redis that failed, and announcements that could not be read."), []string{"what"}),
		copies:  prometheus.NewCounterVec(opts("copies_total", "Questions for shared copies of the directory: hit, miss, or behind what this node knows."), []string{"result"}),
		refused: prometheus.NewCounter(opts("refused_total", "Calls that were not made while Redis was away.")),
		fills:   prometheus.NewCounter(opts("fills_total", "Times that Redis was filled again from the database.")),
	}
	if r == nil {
		return m
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "bellhop", Subsystem: "redis", Name: name, Help: help}, f)
	}
	r.MustRegister(m.seconds, m.errors, m.copies, m.refused, m.fills,
		gauge("breaker_open", "1 while Redis is not asked because it does not answer.", func() float64 {
			if s.breaker.open() {
				return 1
			}
			return 0
		}),
		gauge("pending", "Bindings that wait to be written to Redis.", func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(len(s.pending))
		}),
		gauge("follower_lag_seconds", "Age of the oldest change of this node that Redis does not have.", m.behind.Seconds),
	)
	return m
}

// lag is how long something waits.
type lag struct {
	mu    sync.Mutex
	since time.Time // zero: nothing waits
}

// Begin notes that something waits from now on.
func (l *lag) Begin(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		l.since = now
	}
}

// End notes that what waited before a time does not any more.
func (l *lag) End(before time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.since.After(before) {
		l.since = time.Time{}
	}
}

// Seconds is how long it waits, in seconds.
func (l *lag) Seconds() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		return 0
	}
	return time.Since(l.since).Seconds()
}
