package control

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the API. Every route has its children from the start.
type metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	signIns   *prometheus.CounterVec
	limited   *prometheus.CounterVec
	panics    prometheus.Counter
	streams   prometheus.Gauge
	lost      prometheus.Counter
	published prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "http", Name: "requests_total", Help: "API requests by operation and class of status.",
		}, []string{"operation", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "bellhop", Subsystem: "http", Name: "request_seconds", Help: "Time to answer an API request, by group of operations.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5},
		}, []string{"group"}),
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "http", Name: "sign_ins_total", Help: "Sign-ins by result.",
		}, []string{"result"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "http", Name: "limited_total", Help: "API requests refused by a limit.",
		}, []string{"limit"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "http", Name: "panics_total", Help: "API requests that ended in a panic.",
		}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "bellhop", Subsystem: "events", Name: "streams", Help: "Open event streams.",
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "events", Name: "resets_total", Help: "Event streams that missed events and were told so.",
		}),
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "events", Name: "drained_total", Help: "Events that reached the hub.",
		}),
	}
	for _, r := range []string{"accepted", "refused"} {
		m.signIns.WithLabelValues(r)
	}
	m.limited.WithLabelValues("sign-in")
	m.limited.WithLabelValues("streams")
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.signIns, m.limited, m.panics, m.streams, m.lost, m.published} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// A routeMetrics is the children of one endpoint.
type routeMetrics struct {
	classes [6]prometheus.Counter // by the first digit of the status
	seconds prometheus.Observer
	timed   bool
}

func (m *metrics) route(e endpoint) *routeMetrics {
	r := &routeMetrics{seconds: m.duration.WithLabelValues(e.tag), timed: e.media != eventStream}
	for i := 2; i < len(r.classes); i++ {
		r.classes[i] = m.requests.WithLabelValues(e.id, strconv.Itoa(i)+"xx")
	}
	return r
}

func (r *routeMetrics) observe(status int, took time.Duration) {
	if class := status / 100; class >= 2 && class < len(r.classes) {
		r.classes[class].Inc()
	}
	if r.timed {
		r.seconds.Observe(took.Seconds())
	}
}
