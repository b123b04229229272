package proxy

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	sendFailed, journalFailed, strayAck, notInDialog prometheus.Counter
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
	}
	if reg != nil {
		reg.MustRegister(m.sendFailed, m.journalFailed, m.strayAck, m.notInDialog)
	}
	return m
}
