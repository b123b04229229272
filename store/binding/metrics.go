package binding

import (
	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing/location"
)

// metrics are what a table shows.
type metrics struct {
	errors  prometheus.Counter
	rows    prometheus.Counter
	jumps   prometheus.Counter
	commit  prometheus.Histogram
	changes [location.Expired + 1]prometheus.Counter
}

func newMetrics(r prometheus.Registerer, t *Table) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "store", Name: name, Help: help})
	}
	m := &metrics{
		errors: counter("binding_errors_total", "Groups of bindings that were not saved."),
		rows:   counter("binding_rows_total", "Rows of bindings handed to the saver."),
		jumps:  counter("clock_jumps_total", "Jumps of the clock by more than two seconds."),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "bellhop", Subsystem: "store", Name: "binding_commit_seconds", Help: "Time to save a group of bindings.",
			Buckets: []float64{1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.25, 1, 5},
		}),
	}
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "bellhop", Subsystem: "store", Name: "binding_changes_total", Help: "Changes of bindings by what happened.",
	}, []string{"what"})
	for w := location.Added; w <= location.Expired; w++ {
		m.changes[w] = changes.WithLabelValues(w.String())
	}
	if r != nil {
		r.MustRegister(m.errors, m.rows, m.jumps, m.commit, changes,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Namespace: "bellhop", Subsystem: "store", Name: "bindings", Help: "Bindings in memory.",
			}, func() float64 { return float64(t.Len()) }))
	}
	return m
}

func (m *metrics) change(w location.What) { m.changes[w].Inc() }
