// Package registrar speaks RFC 3261 §10: it reads the REGISTER of a device that
// was authenticated, has it applied to the bindings of its address-of-record
// (routing/location) where they are kept (package store), and says how to answer.
//
// It keeps no state, starts no goroutine and sends nothing. [Registrar.Prepare]
// and [Job.Start] never block, so that a refresh is answered by who read it, and
// nobody waits for what must be saved first (trust.md §3); [Job.Run] waits.
package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/wire"
)

// Location is the location service (store/binding).
type Location interface {
	// Begin applies r without waiting. Where that needs nothing saved before the
	// answer (a refresh, a retransmission, a question) it is done, and bs holds now.
	// Else it is being saved, and saved is told once, on another goroutine, of what
	// Register would return; of [location.ErrAgain] when it must be asked. Or neither:
	// nothing has changed, and Register must be asked. saved must not block; nil:
	// nothing is saved.
	Begin(aor location.AOR, r location.Register, saved func(location.Bindings, []location.Change, error)) (bs location.Bindings, done, saving bool)
	// Register applies r and returns what holds then, and what changed. New,
	// moved and removed bindings are saved when it returns. Its errors are those
	// of [location.Bindings.Apply], of the store and of ctx; nothing changed then.
	Register(ctx context.Context, aor location.AOR, r location.Register) (location.Bindings, []location.Change, error)
	// Len returns how many bindings there are.
	Len() int
}

// Lines tells which line of a device a From or To value means (sip/auth).
type Lines interface {
	Line(value []byte, device *directory.Credential, domain string) (number string, ok bool)
}

// GRUUs makes the URIs that reach one instance (sip/auth, RFC 5627).
type GRUUs interface {
	AppendPublic(dst []byte, aor location.AOR, instance string) []byte
	AppendTemporary(dst []byte, aor location.AOR, b *location.Binding) []byte
}

// Options are what a [Registrar] needs. Zero values mean the default.
type Options struct {
	Location   Location
	Lines      Lines
	GRUUs      GRUUs // nil: none are given
	Limits     location.Limits
	Timeout    time.Duration         // how long Run may take: 5 s, well within Timer F of the client
	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: no metrics
}

// A Registrar answers REGISTER. Make one with [New].
type Registrar struct {
	location Location
	lines    Lines
	gruus    GRUUs
	limits   location.Limits
	timeout  time.Duration
	log      *slog.Logger
	metrics  metrics
}

// New returns a registrar. Its errors are missing options, and metrics that are
// registered twice.
func New(o Options) (*Registrar, error) {
	if o.Location == nil || o.Lines == nil {
		return nil, errors.New("registrar: location or lines are not given")
	}
	r := &Registrar{location: o.Location, lines: o.Lines, gruus: o.GRUUs, limits: o.Limits, timeout: o.Timeout, log: o.Logger}
	if r.timeout == 0 {
		r.timeout = 5 * time.Second
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r, r.metrics.register(o.Registerer, o.Location)
}

// Rules that a refusal names.
const (
	RuleNotYours = "register.not-yours" // trust.md §1: the AOR is not a line of the device, or it has too many instances
	RulePath     = "register.path"      // trust.md §1: Path is for nodes
	RuleSIPS     = "register.sips"      // RFC 5630 §3.1.3: a sips contact is reached by TLS all the way
	RuleLimit    = "register.limit"     // an AOR has so many contacts at most
)

// A Request is a REGISTER and what is proven about it.
type Request struct {
	Msg      *wire.Message // borrowed: nothing of it is kept
	Flow     location.Flow
	Device   *directory.Credential // who sent it, authenticated; borrowed
	Domain   string                // canonical name of the device's domain
	FromNode bool                  // another node of the cluster handed it on, and its Path counts
}

// A Response is how a REGISTER is answered. A Status of 0 is none.
type Response struct {
	Status int
	Reason string // reason phrase, "" for the usual one
	Rule   string // the rule of ours that a refusal names, "" for RFC 3261's own
	Lines  []byte // header lines, each with its CRLF
	AOR    location.AOR
	// Added are the contacts of a 200 that are new or have moved, for the calls
	// that ring meanwhile (rule ring.devices).
	Added []ring.Target
}

// A Job is a REGISTER that may be carried out. It holds nothing of the message.
type Job struct {
	registrar *Registrar
	aor       location.AOR
	register  location.Register
	outbound  bool // RFC 5626 is applied
	gruu      bool // the client knows RFC 5627
}

// AOR returns whose bindings the job changes.
func (j *Job) AOR() location.AOR { return j.aor }

// Prepare reads a REGISTER (RFC 3261 §10.3 steps 2 to 7, as far as they do not
// need the bindings). It returns a job, or else the response that refuses it.
// It does not block.
func (r *Registrar) Prepare(q Request) (*Job, Response) {
	j, res := r.prepare(&q)
	if j == nil {
		r.metrics.refused(res.Status)
		if res.Rule != "" {
			r.log.Info("register refused", "rule", res.Rule, "domain", q.Domain, "device", q.Device.Device)
		}
	}
	return j, res
}

// Start carries the job out without blocking. Either it is done, and res answers;
// or it is being saved, and saved is told of the answer on another goroutine, or
// that the job must Run; or nothing has changed, and the job must Run. saved must
// not block; nil: what must be saved must Run.
func (j *Job) Start(saved func(res Response, again bool)) (res Response, done, saving bool) {
	r := j.registrar
	var then func(location.Bindings, []location.Change, error)
	if saved != nil {
		then = func(bs location.Bindings, changes []location.Change, err error) {
			if errors.Is(err, location.ErrAgain) {
				saved(Response{}, true)
				return
			}
			saved(j.ended(bs, changes, err), false)
		}
	}
	bs, done, saving := r.location.Begin(j.aor, j.register, then)
	if !done {
		return Response{}, false, saving
	}
	if len(j.register.Contacts) == 0 {
		r.metrics.queried.Inc()
	} else {
		r.metrics.refreshed.Inc()
	}
	return j.accepted(bs, nil), true, false
}

// Run carries the job out. It blocks until what it changed is saved, or the
// timeout of the options or ctx ends it.
func (j *Job) Run(ctx context.Context) Response {
	r := j.registrar
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, errSlow)
	defer cancel()
	bs, changes, err := r.location.Register(ctx, j.aor, j.register)
	return j.ended(bs, changes, err)
}

// ended answers a job that had to be saved.
func (j *Job) ended(bs location.Bindings, changes []location.Change, err error) Response {
	r := j.registrar
	if err != nil {
		res := j.failed(err)
		r.metrics.refused(res.Status)
		return res
	}
	r.metrics.changed.Inc()
	for i := range changes {
		if c := &changes[i]; c.What == location.Moved && network(c.Before.Flow) != network(c.After.Flow) {
			r.metrics.moved.Inc()
			r.log.Info("registration moved to another network", "aor", j.aor.String(),
				"device", c.After.Device, "from", c.Before.Flow.Remote, "to", c.After.Flow.Remote)
		}
	}
	return j.accepted(bs, changes)
}

// network returns the network that a flow comes from, as far as an address
// tells: an IPv4 /24 or an IPv6 /48.
func network(f location.Flow) netip.Prefix {
	addr := f.Remote.Addr().Unmap()
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	p, _ := addr.Prefix(bits)
	return p
}

// errSlow ends a Run that takes too long.
var errSlow = errors.New("registrar: the location service is too slow")

// failed answers a REGISTER that the location service refused, or could not
// save: nothing has changed.
func (j *Job) failed(err error) Response {
	res := Response{AOR: j.aor}
	brief, isBrief := errors.AsType[location.TooBriefError](err)
	switch {
	case isBrief: // RFC 3261 §10.3 step 7
		res.Status = 423
		res.Lines = fmt.Appendf(nil, "Min-Expires: %d\r\n", int64((brief.Min+time.Second-1)/time.Second))
	case errors.Is(err, location.ErrMalformed):
		res.Status, res.Reason = 400, "Malformed Contact"
	case errors.Is(err, location.ErrTooLong):
		res.Status, res.Reason = 400, "Contact Too Long"
	case errors.Is(err, location.ErrTooMany):
		res.Status, res.Reason, res.Rule = 403, "Too Many Contacts", RuleLimit
	case errors.Is(err, location.ErrNotYours):
		res.Status, res.Reason, res.Rule = 403, "Too Many Instances", RuleNotYours
	case errors.Is(err, location.ErrOutOfOrder): // RFC 3261 §10.3 step 7: abort, and fail
		res.Status, res.Reason = 500, "CSeq Out Of Order"
	default:
		res.Status, res.Reason, res.Lines = 500, "Not Saved", []byte("Retry-After: 5\r\n")
		j.registrar.log.Error("bindings not saved", "aor", j.aor.String(), "error", err)
	}
	return res
}

// metrics are what a registrar shows.
type metrics struct {
	refreshed, changed, queried, moved prometheus.Counter
	refusals                           map[int]prometheus.Counter
}

func (m *metrics) register(reg prometheus.Registerer, loc Location) error {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bellhop_registrar_requests_total",
		Help: "REGISTER requests of authenticated devices, by what became of them: refreshed in memory, changed and saved, queried, or the status that refused them.",
	}, []string{"outcome"})
	m.refreshed = requests.WithLabelValues("refreshed")
	m.changed = requests.WithLabelValues("changed")
	m.queried = requests.WithLabelValues("queried")
	m.refusals = make(map[int]prometheus.Counter)
	for _, status := range []int{400, 403, 420, 423, 500} {
		m.refusals[status] = requests.WithLabelValues(fmt.Sprint(status))
	}
	m.moved = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bellhop_registrar_network_moves_total",
		Help: "Bindings that moved to another network.",
	})
	if reg == nil {
		return nil
	}
	return errors.Join(reg.Register(requests), reg.Register(m.moved), reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bellhop_registrations",
		Help: "Bindings of devices that this node knows.",
	}, func() float64 { return float64(loc.Len()) })))
}

func (m *metrics) refused(status int) {
	if c := m.refusals[status]; c != nil {
		c.Inc()
	}
}
