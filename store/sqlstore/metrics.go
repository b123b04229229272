package sqlstore

import "github.com/prometheus/client_golang/prometheus"

// metrics are what the database shows.
type metrics struct {
	errors prometheus.Counter
	commit prometheus.Histogram

	retired *prometheus.CounterVec
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
	if r != nil {
		r.MustRegister(m.errors, m.commit, m.retired)
	}
	return m
}
