package sip

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	stray, foreign, malformed, slowed, tooLarge, loadFailed, loadDropped prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "sip", Name: name, Help: help})
		if reg != nil {
			reg.MustRegister(c)
		}
		return c
	}
	return metrics{
		stray:       counter("stray_responses_total", "Responses that belong to no transaction."),
		foreign:     counter("foreign_requests_total", "Requests for no domain of ours, dropped."),
		malformed:   counter("malformed_messages_total", "Messages that could not be read."),
		slowed:      counter("slowed_requests_total", "Requests dropped after too many wrong passwords."),
		tooLarge:    counter("answers_too_large_total", "Answers to strangers not sent because they would amplify."),
		loadFailed:  counter("credential_load_failures_total", "Credentials that could not be loaded."),
		loadDropped: counter("credential_loads_dropped_total", "Requests dropped because too many loads waited."),
	}
}
