package transport

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are what a transport counts.
type metrics struct {
	received, sent, unsent, keepalives, garbage, malformed, panics prometheus.Counter
}

func newMetrics(r prometheus.Registerer, drops func() uint64) metrics {
	udp := promauto.With(wrap(r))
	counter := func(name, help string) prometheus.Counter {
		return udp.NewCounter(prometheus.CounterOpts{Name: "bellhop_transport_" + name, Help: help})
	}
	udp.NewCounterFunc(prometheus.CounterOpts{
		Name: "bellhop_transport_drops_total",
		Help: "Datagrams that the kernel dropped since a receive buffer was full.",
	}, func() float64 { return float64(drops()) })
	return metrics{
		received:   counter("messages_received_total", "Messages received; keep-alives are not among them."),
		sent:       counter("messages_sent_total", "Messages sent."),
		unsent:     counter("send_errors_total", "Messages that could not be sent: no room, no route or no listener."),
		keepalives: counter("keep_alives_total", "Keep-alives received."),
		garbage:    counter("messages_unreadable_total", "Messages dropped since they could neither be read nor answered."),
		malformed:  counter("messages_malformed_total", "Requests that were malformed, but could be answered."),
		panics:     counter("panics_total", "Messages dropped by a panic of their handler."),
	}
}

// wrap adds the label that tells transports apart.
func wrap(r prometheus.Registerer) prometheus.Registerer {
	if r == nil {
		return nil
	}
	return prometheus.WrapRegistererWith(prometheus.Labels{"transport": "udp"}, r)
}
