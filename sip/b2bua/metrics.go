package b2bua

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	begun, branches, sendFailed, journalFailed, failover, challenged, late, refused, unrestored, emergencies prometheus.Counter

	live  prometheus.Gauge
	ended *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "b2bua", Name: name, Help: help})
	}
	m := metrics{
		begun:         counter("calls_total", "Anchored calls begun."),
		branches:      counter("branches_total", "Branches of anchored calls that were invited."),
		sendFailed:    counter("send_failures_total", "Requests of anchored calls that could not be sent."),
		journalFailed: counter("journal_failures_total", "Anchored calls that the journal did not take."),
		failover:      counter("trunk_failovers_total", "Attempts over a trunk that went on to the next peer or trunk."),
		challenged:    counter("trunk_challenges_total", "Challenges of a trunk that were answered."),
		late:          counter("late_answers_total", "Answers that nobody took, acknowledged and hung up."),
		refused:       counter("refused_in_dialog_total", "Requests within an anchored call that were refused: no token, or from elsewhere."),
		unrestored:    counter("unrestored_total", "Calls of an earlier process that could not be taken up: what the journal had of them was cut."),
		emergencies:   counter("emergency_calls_total", "Calls for help (rule dial.emergency)."),
		live: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "bellhop", Subsystem: "b2bua", Name: "calls_live", Help: "Anchored calls that ring or talk.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "b2bua", Name: "calls_ended_total", Help: "Answered anchored calls by how they ended.",
		}, []string{"cause"}),
	}
	if reg != nil {
		reg.MustRegister(m.begun, m.branches, m.sendFailed, m.journalFailed, m.failover, m.challenged, m.late, m.refused, m.unrestored, m.emergencies, m.live, m.ended)
	}
	return m
}
