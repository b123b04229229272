package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/store/sqlstore"
)

// Overload shows what a node cannot keep up with to tests.
type Overload struct{ o overload }

// Look takes the state of a moment.
func (o *Overload) Look(now time.Time, full bool, drops uint64) { o.o.look(now, full, drops) }

// Reasons returns what is wrong.
func (o *Overload) Reasons() (full, lossy *feed.Reason) { return o.o.reasons() }

// Store shows the documents of a node to tests.
func Store(a *App) *sqlstore.Store { return a.store }

// Metrics shows what a node measures to tests.
func Metrics(a *App) *prometheus.Registry { return a.metrics }
