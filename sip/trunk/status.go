package trunk

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
)

// Status returns how a trunk is; false: there is none of that name.
func (m *Manager) Status(domain, name string) (feed.TrunkStatus, bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.trunks[key{domain, name}]
	if t == nil {
		return feed.TrunkStatus{}, false
	}
	m.seeLocked(t, now)
	s := feed.TrunkStatus{
		Up: t.up, Since: t.since, Calls: m.calls[t.key], RegisteredUntil: t.registration.granted(now), LastError: t.registration.err,
	}
	for _, p := range t.peers {
		ps := p.status(t, now)
		s.Peers = append(s.Peers, ps)
		if s.LastError == "" && !ps.Up {
			s.LastError = ps.LastError
		}
	}
	return s, true
}

// granted is until when we are registered; zero: we are not.
func (r *registration) granted(now time.Time) time.Time {
	if now.Before(r.until) {
		return r.until
	}
	return time.Time{}
}

// A metrics shows all trunks. What it counts is in them, so that a trunk that is
// deleted takes its series along.
type metrics struct {
	m                                         *Manager
	up, registered, calls, attempts, rejected *prometheus.Desc
}

func newMetrics(r prometheus.Registerer, m *Manager) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("bellhop_trunk_"+name, help, append([]string{"domain", "trunk"}, labels...), nil)
	}
	x := &metrics{
		m:          m,
		up:         desc("up", "Whether a call can leave by the trunk: 1 or 0."),
		registered: desc("registered", "Whether we are registered with the trunk: 1 or 0; only for those we register with."),
		calls:      desc("calls", "Calls over the trunk that are going on."),
		attempts:   desc("attempts_total", "INVITEs sent to the trunk, by what came of them: the class of the final response, 503, silent, unreachable, or down when no peer could be tried.", "result"),
		rejected:   desc("rejected_total", "Calls that a limit of the trunk stopped.", "limit"),
	}
	if r != nil {
		r.MustRegister(x)
	}
	return x
}

// Describe implements [prometheus.Collector].
func (x *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{x.up, x.registered, x.calls, x.attempts, x.rejected} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (x *metrics) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	var out []prometheus.Metric
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out = append(out, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
	}
	counters := func(d *prometheus.Desc, t *trunk, of map[string]uint64) {
		for label, n := range of {
			out = append(out, prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), t.domain, t.name, label))
		}
	}
	x.m.mu.Lock()
	for _, t := range x.m.trunks {
		x.m.seeLocked(t, now)
		gauge(x.up, number(t.up), t.domain, t.name)
		gauge(x.calls, float64(x.m.calls[t.key]), t.domain, t.name)
		if t.registration.on {
			gauge(x.registered, number(!t.registration.granted(now).IsZero()), t.domain, t.name)
		}
		counters(x.attempts, t, t.attempts)
		counters(x.rejected, t, t.refused)
	}
	x.m.mu.Unlock()
	for _, metric := range out {
		ch <- metric
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// status is how a peer is.
func (p *peer) status(t *trunk, now time.Time) feed.PeerStatus {
	s := feed.PeerStatus{Peer: p.String(), Up: p.up(t, now), LastError: p.err}
	for _, g := range p.targets {
		s.Addresses = append(s.Addresses, g.transport.String()+" "+g.addr.String())
		if g.seen.After(s.Seen) {
			s.Seen = g.seen
		}
		if now.Before(g.resting) && g.resting.After(s.RestingUntil) {
			s.RestingUntil = g.resting
		}
		if s.LastError == "" && g.state != up {
			s.LastError = g.err
		}
	}
	return s
}
