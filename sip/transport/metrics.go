package transport

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"bellhop/routing/location"
)

// metrics are what a transport counts.
type metrics struct {
	received, sent, unsent, keepalives, garbage, malformed, panics prometheus.Counter
}

func newMetrics(r prometheus.Registerer, drops func() uint64) metrics {
	promauto.With(wrap(r, location.UDP)).NewCounterFunc(prometheus.CounterOpts{
		Name: "bellhop_transport_drops_total",
		Help: "Datagrams that the kernel dropped since a receive buffer was full.",
	}, func() float64 { return float64(drops()) })
	return metricsOf(r, location.UDP)
}

func metricsOf(r prometheus.Registerer, tr location.Transport) metrics {
	of := promauto.With(wrap(r, tr))
	counter := func(name, help string) prometheus.Counter {
		return of.NewCounter(prometheus.CounterOpts{Name: "bellhop_transport_" + name, Help: help})
	}
	return metrics{
		received:   counter("messages_received_total", "Messages received; keep-alives are not among them."),
		sent:       counter("messages_sent_total", "Messages sent."),
		unsent:     counter("send_errors_total", "Messages that could not be sent: no room, no route or no listener."),
		keepalives: counter("keep_alives_total", "Keep-alives received, STUN among them."),
		garbage:    counter("messages_unreadable_total", "Messages dropped since they could neither be read nor answered."),
		malformed:  counter("messages_malformed_total", "Requests that were malformed, but could be answered."),
		panics:     counter("panics_total", "Messages dropped by a panic of their handler."),
	}
}

// wrap adds the label that tells transports apart.
func wrap(r prometheus.Registerer, tr location.Transport) prometheus.Registerer {
	if r == nil {
		return nil
	}
	return prometheus.WrapRegistererWith(prometheus.Labels{"transport": strings.ToLower(tr.String())}, r)
}

// Why connections are refused or closed, as metrics say it.
const (
	reasonFull      = "full"      // no room, and nobody to evict
	reasonSource    = "source"    // its source has too many
	reasonHandshake = "handshake" // TLS, WebSocket or the PROXY protocol failed
	reasonEvicted   = "evicted"   // made room, and had proved nothing
	reasonUnproven  = "unproven"  // proved nothing in time
	reasonIdle      = "idle"
	reasonSlow      = "slow"     // a message took too long to come
	reasonUnparsed  = "unparsed" // too many bytes of messages that have begun
	reasonGarbage   = "garbage"  // what came is no SIP, or its end could not be found
	reasonQueue     = "queue"    // it does not read what we send
	reasonWrite     = "write"    // could not be written to
	reasonPeer      = "peer"     // the peer closed it
	reasonBroken    = "broken"   // the network did
	reasonStop      = "stop"     // we stop
)

// streamMetrics are what connections count.
type streamMetrics struct {
	of              map[location.Transport]*metrics
	open            map[location.Transport]prometheus.Gauge
	refusals, close *prometheus.CounterVec
}

// newStreamMetrics registers the metrics of so many transports.
func newStreamMetrics(r prometheus.Registerer, of map[location.Transport]bool) *streamMetrics {
	with := promauto.With(r)
	m := &streamMetrics{of: make(map[location.Transport]*metrics), open: make(map[location.Transport]prometheus.Gauge)}
	if len(of) == 0 {
		with = promauto.With(nil)
	}
	open := with.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bellhop_transport_connections", Help: "Connections that are open.",
	}, []string{"transport"})
	m.refusals = with.NewCounterVec(prometheus.CounterOpts{
		Name: "bellhop_transport_connections_refused_total",
		Help: "Connections refused before their first message, by reason: full, source, handshake, stop.",
	}, []string{"transport", "reason"})
	m.close = with.NewCounterVec(prometheus.CounterOpts{
		Name: "bellhop_transport_connections_closed_total",
		Help: "Connections closed, by reason: peer, broken, evicted, unproven, idle, slow, unparsed, garbage, queue, write, stop.",
	}, []string{"transport", "reason"})
	for tr := location.TCP; tr <= location.WSS; tr++ {
		reg := r
		if !of[tr] {
			reg = nil // kept, not shown
		}
		own := metricsOf(reg, tr)
		m.of[tr], m.open[tr] = &own, open.WithLabelValues(strings.ToLower(tr.String()))
	}
	return m
}

func (m *streamMetrics) refused(tr location.Transport, why string) {
	m.refusals.WithLabelValues(strings.ToLower(tr.String()), why).Inc()
}

func (m *streamMetrics) closed(tr location.Transport, why string) {
	m.close.WithLabelValues(strings.ToLower(tr.String()), why).Inc()
}
