package lane

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// PoolOptions are the sizes of a [Pool]. Zero means the value in parentheses.
type PoolOptions struct {
	Workers  int // goroutines that go on with lanes (2)
	Blockers int // goroutines that block for lanes (16)
	Backlog  int // calls of [Lane.Do] that may wait for a blocker (256)
	MaxLanes int // lanes of all tables at one time (200,000)

	// Panicked, when set, is told of a panic that ended l: the event of the
	// step, nil when [Lane.Do] panicked. It runs where the step ran, after the
	// lane was closed; a borrowed event is still there. It must not panic.
	Panicked func(l *Lane, ev Event)

	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: metrics are kept, not shown
}

// A Pool is the goroutines behind all lanes: a fixed number, however many
// calls there are. Make one with [NewPool], then [Pool.Run] it once.
type Pool struct {
	opts    PoolOptions
	clock   *clock
	jobs    chan job
	refused prometheus.Counter
	panics  prometheus.Counter
	turned  atomic.Uint64 // refused, for Refused
	open    atomic.Int64  // lanes that are not closed

	mu    sync.Mutex // guards what follows and the end of jobs
	wake  sync.Cond  // lanes or over changed
	lanes []*Lane    // handed over; each lane at most once
	over  bool
}

type job struct {
	lane *Lane
	f    func(context.Context) Event
}

// NewPool returns a pool that is ready to [Pool.Run]. It panics when metrics of
// these names are registered already.
func NewPool(opts PoolOptions) *Pool {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&opts.Workers, 2)
	orDefault(&opts.Blockers, 16)
	orDefault(&opts.Backlog, 256)
	orDefault(&opts.MaxLanes, 200_000)
	metrics := promauto.With(opts.Registerer)
	p := &Pool{
		opts:  opts,
		clock: newClock(),
		jobs:  make(chan job, opts.Backlog+Reserve),
		refused: metrics.NewCounter(prometheus.CounterOpts{
			Name: "bellhop_lane_refused_total",
			Help: "Events, blocking jobs and lanes that found no room.",
		}),
		panics: metrics.NewCounter(prometheus.CounterOpts{
			Name: "bellhop_lane_panics_total",
			Help: "Panics in steps of calls; each ended its call.",
		}),
	}
	metrics.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bellhop_lane_open",
		Help: "Lanes that are open: calls and other exchanges that have state.",
	}, func() float64 { return float64(p.Open()) })
	p.wake.L = &p.mu
	return p
}

func orDefault(n *int, otherwise int) {
	if *n <= 0 {
		*n = otherwise
	}
}

// Refused is how many events, jobs and lanes found no room.
func (p *Pool) Refused() uint64 { return p.turned.Load() }

// Open is how many lanes are not closed.
func (p *Pool) Open() int { return int(p.open.Load()) }

// Crowded reports whether more than half of the lanes are open: what is no call and
// can wait does.
func (p *Pool) Crowded() bool { return p.open.Load() > int64(p.opts.MaxLanes)/2 }

// Full reports whether no lane can be opened.
func (p *Pool) Full() bool { return p.Open() >= p.opts.MaxLanes }

// Reserve is how many lanes, and how many calls of [Lane.Do], find room beyond the
// limits when they are urgent.
const Reserve = 64

// Busy reports whether a new lane would not be opened, or could not have a call
// of [Lane.Do]: only urgent ones could.
func (p *Pool) Busy() bool { return p.Full() || len(p.jobs) >= p.opts.Backlog }

// Run serves lanes and timers until ctx ends, then finishes what was taken.
// Lanes that go on after that run on their callers' goroutines only, and their
// timers are not due any more.
func (p *Pool) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { p.clock.run(ctx) })
	for range p.opts.Workers {
		wg.Go(p.work)
	}
	for range p.opts.Blockers {
		wg.Go(func() {
			for j := range p.jobs {
				j.lane.perform(ctx, j.f)
			}
		})
	}
	<-ctx.Done()
	p.mu.Lock()
	p.over = true
	close(p.jobs)
	p.wake.Broadcast()
	p.mu.Unlock()
	wg.Wait()
}

// work drains lanes, a burst at a time, the longest waiting first.
func (p *Pool) work() {
	for {
		p.mu.Lock()
		for len(p.lanes) == 0 && !p.over {
			p.wake.Wait()
		}
		if len(p.lanes) == 0 {
			p.mu.Unlock()
			return
		}
		l := p.lanes[0]
		p.lanes[0] = nil
		p.lanes = p.lanes[1:]
		p.mu.Unlock()
		l.drain(0)
	}
}

// ready hands l over to a worker. It reports false when there is none any more.
func (p *Pool) ready(l *Lane) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	p.lanes = append(p.lanes, l)
	p.wake.Signal()
	return true
}

// submit queues j for a blocker. It reports false when there is no room.
func (p *Pool) submit(j job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || len(p.jobs) >= p.opts.Backlog && !j.lane.urgent {
		return false
	}
	select {
	case p.jobs <- j:
		return true
	default:
		return false
	}
}

func (p *Pool) refuse() error {
	p.turned.Add(1)
	p.refused.Inc()
	return ErrFull
}
