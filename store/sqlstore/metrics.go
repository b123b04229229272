package sqlstore

import "github.com/prometheus/client_golang/prometheus"

// metrics are what the database shows.
type metrics struct {
	errors prometheus.Counter
	commit prometheus.Histogram

	retired   *prometheus.CounterVec
	free      prometheus.Gauge
	storyless prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "store", Name: "errors_total", Help: "Statements and transactions that failed.",
		}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "bellhop", Subsystem: "store", Name: "commit_seconds",
			Help:    "Time of a write transaction, waiting for the writer included.",
			Buckets: []float64{1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.25, 1, 5},
		}),
	}
	m.retired = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "bellhop", Subsystem: "store", Name: "retired_total", Help: "Rows that retention took away.",
	}, []string{"what"})
	for _, what := range []string{"records", "stories", "history"} {
		m.retired.WithLabelValues(what)
	}
	m.free = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "bellhop", Subsystem: "store", Name: "disk_free_bytes", Help: "Room that the disk of the store has left.",
	})
	m.storyless = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "bellhop", Subsystem: "store", Name: "stories_dropped_total", Help: "Records saved without their story since the disk was nearly full.",
	})
	if r != nil {
		r.MustRegister(m.errors, m.commit, m.retired, m.free, m.storyless)
	}
	return m
}
