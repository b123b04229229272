package sip

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	stray, foreign, malformed, slowed, tooLarge, loadFailed, loadDropped, journalFailed prometheus.Counter

	calls *prometheus.CounterVec
	setup prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "sip", Name: name, Help: help})
		if reg != nil {
			reg.MustRegister(c)
		}
		return c
	}
	m := metrics{
		stray:       counter("stray_responses_total", "Responses that belong to no transaction."),
		foreign:     counter("foreign_requests_total", "Requests for no domain of ours, dropped."),
		malformed:   counter("malformed_messages_total", "Messages that could not be read."),
		slowed:      counter("slowed_requests_total", "Requests dropped after too many wrong passwords."),
		tooLarge:    counter("answers_too_large_total", "Answers to strangers not sent because they would amplify."),
		loadFailed:  counter("credential_load_failures_total", "Credentials that could not be loaded."),
		loadDropped: counter("credential_loads_dropped_total", "Requests dropped because too many loads waited."),

		journalFailed: counter("journal_failures_total", "Records of refused calls that the journal did not take."),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellhop", Name: "calls_total", Help: "Calls by outcome and by the rule that decided.",
		}, []string{"outcome", "rule"}),
		setup: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "bellhop", Name: "call_answer_seconds", Help: "From the INVITE to its 2xx, answered calls.",
			Buckets: []float64{.005, .02, .1, .5, 1, 2, 5, 10, 20, 40, 80, 170},
		}),
	}
	if reg != nil {
		reg.MustRegister(m.calls, m.setup)
	}
	return m
}

// Call counts a call by how it came out.
func (m *metrics) Call(outcome, rule string) { m.calls.WithLabelValues(outcome, rule).Inc() }

// Setup notes how long it took to answer a call.
func (m *metrics) Setup(d time.Duration) { m.setup.Observe(d.Seconds()) }
