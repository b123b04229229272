package journal

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a journal shows.
type metrics struct {
	errors  prometheus.Counter
	records prometheus.Counter
	lost    prometheus.Counter
	torn    prometheus.Counter
	cut     prometheus.Counter
	write   prometheus.Histogram
	writes  atomic.Uint64
}

// sampleEvery is which share of the writes is timed: two clock readings cost
// as much as encoding half an entry.
const sampleEvery = 16

func newMetrics(r prometheus.Registerer, j *Journal) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "store", Name: name, Help: help})
	}
	m := &metrics{
		errors:  counter("journal_errors_total", "Entries, syncs and batches of the call journal that failed."),
		records: counter("journal_records_total", "Call records handed to the record store."),
		lost:    counter("journal_lost_total", "Call records given up: too many waited and no journal held them."),
		torn:    counter("journal_torn_total", "Journal files found with a torn end at start."),
		cut:     counter("journal_cut_total", "Entries of live calls without their dialogs: what a peer wants us to remember of it is too long."),
		write: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "bellhop", Subsystem: "store", Name: "journal_write_seconds",
			Help:    "Time to append an entry to the call journal, of one entry in 16.",
			Buckets: []float64{2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 0.1, 1},
		}),
	}
	if r == nil {
		return m
	}
	r.MustRegister(m.errors, m.records, m.lost, m.torn, m.cut, m.write,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "bellhop", Subsystem: "store", Name: "calls", Help: "Calls that are live.",
		}, func() float64 { return float64(j.Len()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "bellhop", Subsystem: "store", Name: "journal_pending", Help: "Call records that wait for the record store.",
		}, func() float64 { return float64(j.waiting()) }))
	return m
}

// start returns the time, and whether this write is one that is timed.
func (m *metrics) start() (time.Time, bool) {
	if m.writes.Add(1)%sampleEvery != 0 {
		return time.Time{}, false
	}
	return time.Now(), true
}

func (m *metrics) observe(start time.Time) { m.write.Observe(time.Since(start).Seconds()) }
