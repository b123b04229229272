package cache

import (
	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing"
)

// metrics are what a cache shows.
type metrics struct {
	errors prometheus.Counter
	hits   [kindCredential + 1]prometheus.Counter
	misses [kindCredential + 1]prometheus.Counter
}

func newMetrics(r prometheus.Registerer, c *Cache) *metrics {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "store", Name: name, Help: help}
	}
	m := &metrics{errors: prometheus.NewCounter(opts("cache_errors_total", "Reads of the cache from the store that failed."))}
	hits := prometheus.NewCounterVec(opts("cache_hits_total", "Questions that the cache answered."), []string{"kind"})
	misses := prometheus.NewCounterVec(opts("cache_misses_total", "Questions that the cache could not answer."), []string{"kind"})
	for k, name := range map[kind]string{
		kind(routing.NeedNumber): routing.NeedNumber.String(),
		kind(routing.NeedUser):   routing.NeedUser.String(), kind(routing.NeedDevice): routing.NeedDevice.String(),
		kind(routing.NeedCaller): routing.NeedCaller.String(),
		kindCredential:           "credential",
	} {
		m.hits[k], m.misses[k] = hits.WithLabelValues(name), misses.WithLabelValues(name)
	}
	if r != nil {
		r.MustRegister(m.errors, hits, misses, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "bellhop", Subsystem: "store", Name: "cache_entries", Help: "Compiled values in the cache.",
		}, func() float64 { return float64(c.Len()) }))
	}
	return m
}

func (m *metrics) hit(k kind)  { m.hits[k].Inc() }
func (m *metrics) miss(k kind) { m.misses[k].Inc() }

// Len returns how many entries there are.
func (c *Cache) Len() (n int) {
	for i := range c.shards {
		c.shards[i].mu.RLock()
		n += len(c.shards[i].entries)
		c.shards[i].mu.RUnlock()
	}
	return n
}
