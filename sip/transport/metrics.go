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
		Name: "bellhop_transport_kernel_drops_total",
		Help: "Datagrams that the kernel dropped since a receive buffer was full.",
	}, func() float64 { return float64(drops()) })
	return metrics{
		received:   counter("received_total", "Datagrams or frames received, of any content."),
		sent:       counter("sent_total", "Messages sent."),
		unsent:     counter("send_failures_total", "Messages that could not be sent: no room, no route or no listener."),
		keepalives: counter("keepalives_total", "Keep-alives received."),
		garbage:    counter("garbage_total", "Messages dropped since they could neither be read nor answered."),
		malformed:  counter("malformed_total", "Requests that were malformed, but could be answered."),
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
