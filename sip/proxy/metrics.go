package proxy

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	sendFailed, journalFailed, strayAck, notInDialog prometheus.Counter
	calls                                            *prometheus.CounterVec
	setup                                            prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "proxy", Name: name, Help: help})
	}
	m := metrics{
		sendFailed:    counter("send_failures_total", "Branches that could not be sent."),
		journalFailed: counter("journal_failures_total", "Calls that the journal did not take."),
		strayAck:      counter("stray_acks_total", "ACKs that belong to no dialog of ours."),
		notInDialog:   counter("refused_in_dialog_total", "Requests within a dialog that were refused: no token, or from elsewhere."),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellhop", Name: "calls_total", Help: "Calls by outcome and by the rule that decided.",
		}, []string{"outcome", "rule"}),
		setup: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "bellhop", Name: "call_answer_seconds", Help: "From the INVITE to its 2xx, answered calls.",
			Buckets: []float64{.005, .02, .1, .5, 1, 2, 5, 10, 20, 40, 80, 170},
		}),
	}
	if reg != nil {
		reg.MustRegister(m.sendFailed, m.journalFailed, m.strayAck, m.notInDialog, m.calls, m.setup)
	}
	return m
}

func (m *metrics) call(outcome, rule string) { m.calls.WithLabelValues(outcome, rule).Inc() }
