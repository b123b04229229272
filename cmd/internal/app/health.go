package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/control"
	"bellhop/feed"
)

var _ control.Node = (*App)(nil)

// Status implements [control.Node]. It asks no store: each part remembers
// whether it works.
func (a *App) Status() control.NodeStatus {
	s := control.NodeStatus{
		Name: a.opts.Config.Node.Name, Version: a.opts.Version, Started: a.started, Ready: true, Listen: a.listening(),
	}
	if since, stopping := a.draining.state(); !since.IsZero() {
		s.Ready, s.Draining = false, true
		s.Drain = &control.DrainStatus{Since: since, Stopping: stopping, Ringing: a.sip.Ringing(), Calls: a.store.Calls.Len()}
		s.Reasons = append(s.Reasons, feed.Reason{Part: "node", Detail: "draining: new calls are refused", Since: since})
	}
	full, lossy := a.overload.reasons()
	if full != nil {
		s.Ready = false
		s.Reasons = append(s.Reasons, *full)
	}
	if lossy != nil {
		s.Reasons = append(s.Reasons, *lossy)
	}
	s.Reasons = append(s.Reasons, a.store.Reasons()...)
	if a.redis != nil {
		s.Reasons = append(s.Reasons, a.redis.Reasons()...)
	}
	if r := a.reloaded.Load(); r != nil {
		s.Config = r.words
		if r.refused {
			s.Reasons = append(s.Reasons, feed.Reason{Part: "config", Detail: "the last reload was refused: the file on disk is not what runs", Since: r.at})
		}
	}
	return s
}

const (
	// watchTick is how often a node looks whether it is overloaded.
	watchTick = time.Second
	// lossyFor is how long drops of datagrams are worth a reason.
	lossyFor = time.Minute
)

// watch keeps what [App.Status] cannot see at a glance.
func (a *App) watch(ctx context.Context) error {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			a.overload.look(now, a.sip.Full(), a.sip.Drops())
		}
	}
}

// overload is what a node cannot keep up with.
type overload struct {
	mu        sync.Mutex // guards what follows
	fullSince time.Time  // zero: there is room for calls
	drops     uint64     // datagrams that the kernel dropped, when last looked at
	lossSince time.Time  // zero: none
	lossLast  time.Time
}

// look takes the state of a moment.
func (o *overload) look(now time.Time, full bool, drops uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !full:
		o.fullSince = time.Time{}
	case o.fullSince.IsZero():
		o.fullSince = now.UTC()
	}
	if drops > o.drops {
		o.lossLast = now
		if o.lossSince.IsZero() {
			o.lossSince = now.UTC()
		}
	} else if now.Sub(o.lossLast) >= lossyFor {
		o.lossSince = time.Time{}
	}
	o.drops = drops
}

// reasons returns what is wrong: full keeps new calls out, lossy does not.
func (o *overload) reasons() (full, lossy *feed.Reason) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.fullSince.IsZero() {
		full = &feed.Reason{Part: "limits", Detail: "limits.calls is reached: new calls are refused", Since: o.fullSince}
	}
	if !o.lossSince.IsZero() {
		lossy = &feed.Reason{
			Part: "sip", Detail: fmt.Sprintf("receive buffers were full within the last %s: messages are lost", lossyFor), Since: o.lossSince,
		}
	}
	return full, lossy
}

// registerHealth shows the state as metrics.
func (a *App) registerHealth() {
	gauge := func(name, help string, on func(control.NodeStatus) bool) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if on(a.Status()) {
				return 1
			}
			return 0
		})
	}
	a.metrics.MustRegister(
		gauge("bellhop_node_ready", "1 while new calls are served here.", func(s control.NodeStatus) bool { return s.Ready }),
		gauge("bellhop_node_degraded", "1 while a part does not work as it should; /readyz says which.", func(s control.NodeStatus) bool { return len(s.Reasons) > 0 }),
	)
}
