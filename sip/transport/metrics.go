package transport

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	received, sent, garbage, keepAlives, panics, sendErrors prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, t *Transport) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "transport", Name: name, Help: help})
	}
	m := &metrics{
		received:   counter("messages_received_total", "Datagrams received that are no keep-alive."),
		sent:       counter("messages_sent_total", "Messages sent."),
		garbage:    counter("messages_unreadable_total", "Datagrams that are no SIP message."),
		keepAlives: counter("keep_alives_total", "Datagrams that only keep a NAT binding open."),
		panics:     counter("panics_total", "Messages whose handling panicked."),
		sendErrors: counter("send_errors_total", "Messages that could not be sent."),
	}
	if reg == nil {
		return m, nil
	}
	drops := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: "bellhop", Subsystem: "transport", Name: "drops_total",
		Help: "Datagrams the kernel dropped because a socket's buffer was full.",
	}, func() float64 {
		n := uint64(0)
		for _, l := range t.listeners {
			for _, s := range l.sockets {
				n += s.drops()
			}
		}
		return float64(n)
	})
	for _, c := range []prometheus.Collector{m.received, m.sent, m.garbage, m.keepAlives, m.panics, m.sendErrors, drops} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
