package trunk

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

const (
	// firstRegister is within what time of the start we register.
	firstRegister = time.Second
	// A registration that failed is tried again after registerBase, twice as long
	// each time, at most registerMax (RFC 5626 §4.5).
	registerBase = 30 * time.Second
	registerMax  = 30 * time.Minute
	// minExpires and maxExpires bound what a registrar may grant or demand.
	minExpires = 10 * time.Second
	maxExpires = 24 * time.Hour
	// longExpires is what leaves time to try again in its last quarter.
	longExpires = 10 * time.Minute
	// stuckAfter is when a REGISTER counts as lost together with its lane.
	stuckAfter = time.Minute
)

// A registration is ours with a trunk, and how it is. The mutex of the manager
// guards it.
type registration struct {
	on      bool
	callID  string // one for all REGISTERs to a registrar (RFC 3261 §10.2)
	tag     string
	cseq    uint32
	next    time.Time     // when to register
	sent    time.Time     // under way since; zero: nothing is
	until   time.Time     // granted
	least   time.Duration // that the registrar grants (423)
	at      endpoint      // that granted it
	shift   int           // which endpoint begins, after failures
	failed  int           // one after the other
	refused bool          // our credentials
	err     string
}

// due is when something is to be done; zero: nothing is.
func (r *registration) due() time.Time {
	if !r.sent.IsZero() {
		return r.sent.Add(stuckAfter)
	}
	return r.next
}

// defineRegistrationLocked begins, ends or renews our registration as the
// settings want it. old is what they were, nil for a new trunk.
func (m *Manager) defineRegistrationLocked(t *trunk, old *directory.Peering, now time.Time) {
	r, want := &t.registration, t.def.Trunk.Register
	same := old != nil && r.on && want != nil && *want == *old.Trunk.Register &&
		slices.Equal(old.Peers, t.def.Peers) && old.Username == t.def.Username
	switch {
	case same && bytes.Equal(old.Sealed, t.def.Sealed):
	case same: // another password
		r.next, r.failed, r.refused = now, 0, false
	default:
		if r.on {
			was := *t
			was.def = old
			m.leaveLocked(&was, now)
		}
		*r = registration{}
		if want != nil {
			*r = registration{on: true, callID: newCallID(), tag: newTag(), cseq: rand.Uint32N(1 << 16), next: now.Add(spread(firstRegister))}
		}
	}
}

// leaveLocked makes a trunk that is no more deregister.
func (m *Manager) leaveLocked(t *trunk, now time.Time) {
	r := &t.registration
	if r.on && (now.Before(r.until) || !r.sent.IsZero()) {
		m.leaving[t] = false
		m.look()
	}
}

// registerDueLocked reports whether t is to register now.
func (m *Manager) registerDueLocked(t *trunk, now time.Time) bool {
	r := &t.registration
	if !r.on || r.due().IsZero() || now.Before(r.due()) {
		return false
	}
	r.sent = now
	return true
}

// A registering is one registration under way: REGISTER, and again with
// credentials, or for longer. It lives in the lane of its Call-ID.
type registering struct {
	m   *Manager
	t   *trunk
	def *directory.Peering
	set *transaction.Set

	way     *way
	bye     bool          // it deregisters
	expires time.Duration // asked for
	lines   [2][]byte     // credentials for the registrar, and for a proxy before it
	tries   int
	longer  bool // it asked for as long as a 423 wanted
}

// maxTries is how many REGISTERs one registration takes at most: the registrar and
// a proxy may each challenge one, and say once that a nonce went stale.
const maxTries = 5

// register registers a trunk, or with bye deregisters it.
func (m *Manager) register(t *trunk, bye bool) {
	m.mu.Lock()
	g := &registering{m: m, t: t, def: t.def, bye: bye}
	callID, peers := t.registration.callID, t.peers
	if !bye {
		g.expires = cmp.Or(time.Duration(t.def.Trunk.Register.Expires), time.Duration(directory.DefaultRegisterExpires))
		g.expires = max(g.expires, t.registration.least)
	}
	m.mu.Unlock()
	m.inLane(callID, func(ctx context.Context) transaction.Task {
		ways := m.resolve(ctx, t, peers)
		w := m.registrar(t, ways)
		if w != nil {
			m.dial(ctx, []*way{w})
		}
		return func(set *transaction.Set) {
			g.set, g.way = set, w
			g.begin()
		}
	}, func() { g.over("no room for a REGISTER", 0) })
}

// registrar chooses the endpoint to register at: the one that granted the last
// one, else the next in turn. nil: no peer has an address.
func (m *Manager) registrar(t *trunk, ways []*way) *way {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &t.registration
	if i := slices.IndexFunc(ways, func(w *way) bool { return w.endpoint == r.at }); i >= 0 {
		return ways[i]
	}
	if len(ways) == 0 {
		return nil
	}
	return ways[r.shift%len(ways)]
}

func (g *registering) begin() {
	switch {
	case g.way == nil:
		why := "no peer has an address"
		g.m.mu.Lock()
		if i := slices.IndexFunc(g.t.peers, func(p *peer) bool { return p.err != "" }); i >= 0 {
			why = g.t.peers[i].err
		}
		g.m.mu.Unlock()
		g.over(why, 0)
	case g.way.err != nil:
		g.over(g.way.err.Error(), 0)
	default:
		g.send()
	}
}

// aor is the address of record: whom we register as, where.
func aor(def *directory.Peering) (registrar, aor string) {
	r := def.Trunk.Register
	host := r.Registrar
	if host == "" && len(def.Peers) > 0 {
		host = hostPort(def.Peers[0])
	}
	user := cmp.Or(r.Username, def.Username)
	return "sip:" + host, "sip:" + string(wire.AppendEscapedUser(nil, user)) + "@" + host
}

func (g *registering) send() {
	uri, who := aor(g.def)
	g.m.mu.Lock()
	r := &g.t.registration
	r.cseq++
	req := &request{method: wire.Register, uri: uri, from: who, to: who, tag: r.tag, callID: r.callID, cseq: r.cseq}
	g.m.mu.Unlock()
	req.contact = g.m.contact(g.t.key, g.way.flow)
	seconds := strconv.Itoa(int(g.expires / time.Second))
	req.contact += ";expires=" + seconds
	req.lines = "Expires: " + seconds + "\r\n" + string(g.lines[0]) + string(g.lines[1])
	g.tries++
	x := &exchange{m: g.m, set: g.set, flow: g.way.flow, done: g.done}
	x.send(req)
}

// done takes the final response to a REGISTER.
func (g *registering) done(res *wire.Message, err error) {
	if err != nil {
		g.heard(0, 0, err.Error())
		g.over(err.Error(), 0)
		return
	}
	g.heard(res.Status(), retryAfter(res), "")
	switch status := res.Status(); {
	case status < 300:
		g.granted(res)
	case status == 401 || status == 407:
		g.challenged(res)
	case status == 423 && !g.longer && !g.bye: // RFC 3261 §10.2.8
		v, _ := res.Get(wire.MinExpires)
		least := seconds(v.Bytes())
		if least <= g.expires || least > maxExpires {
			g.over("423 without a Min-Expires that could be met", 0)
			return
		}
		g.longer, g.expires = true, least
		g.m.mu.Lock()
		g.t.registration.least = least
		g.m.mu.Unlock()
		g.send()
	case status < 400: // following it would hand our calls to whoever can answer once
		g.over(strconv.Itoa(status)+", redirects are not followed", retryAfter(res))
	default:
		g.over(strconv.Itoa(status)+" "+string(res.Reason()), retryAfter(res))
	}
}

// challenged sends the REGISTER again with credentials, once for each who asks,
// and again when only the nonce was stale (RFC 3261 §22.1).
func (g *registering) challenged(res *wire.Message) {
	uri, _ := aor(g.def)
	lines, ok := g.m.answer(g.def, "REGISTER", uri, res)
	had := &g.lines[0]
	if res.Status() == 407 {
		had = &g.lines[1]
	}
	switch {
	case !ok:
		g.over(strconv.Itoa(res.Status())+" and no credentials for it", 0)
	case *had != nil && !stale(res), g.tries >= maxTries:
		g.m.mu.Lock()
		g.t.registration.refused = true
		g.m.mu.Unlock()
		g.over("our credentials were refused", 0)
	default:
		*had = lines
		g.send()
	}
}

// granted takes a 200: what it grants, and when to ask again.
func (g *registering) granted(res *wire.Message) {
	m, now := g.m, time.Now()
	expires := m.grantedFor(g.t.key, res, g.expires)
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.look()
	r := &g.t.registration
	if g.bye {
		delete(m.leaving, g.t)
		r.until = time.Time{}
		return
	}
	if r.until.IsZero() || now.After(r.until) {
		m.tellLocked(g.t, func(log *slog.Logger) { log.Info("registered with a trunk", slog.Duration("expires", expires)) })
	}
	r.sent, r.until = time.Time{}, now.Add(expires)
	r.failed, r.refused, r.err = 0, false, ""
	r.at = g.way.endpoint
	r.next = now.Add(refresh(expires))
}

// refresh is when to register again: late enough to be no burden, early enough
// to try some times more.
func refresh(expires time.Duration) time.Duration {
	part := expires * 3 / 4
	if expires < longExpires {
		part = expires / 2
	}
	return part + rand.N(expires/10+1)
}

// over ends a registration that failed, and says when to try again: at another
// endpoint, later each time, but before what was granted ends.
func (g *registering) over(why string, after time.Duration) {
	m, now := g.m, time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.look()
	if g.bye {
		delete(m.leaving, g.t)
		return
	}
	r := &g.t.registration
	r.sent, r.err = time.Time{}, why
	r.failed++
	r.shift++
	r.at = endpoint{}
	wait := backoff(r.failed, registerBase, registerMax)
	if r.refused { // asking often with a wrong password looks like an attack
		wait = registerMax/2 + wait/2
	}
	if left := r.until.Sub(now) / 2; left > 0 && !r.refused {
		wait = min(wait, max(left, minExpires/2))
	}
	r.next = now.Add(max(wait, min(after, maxRest)))
	next := r.next
	m.tellLocked(g.t, func(log *slog.Logger) {
		log.Warn("not registered with a trunk", slog.String("err", why), slog.Time("again", next))
	})
}

// heard notes what came from the endpoint; status 0: nothing, and why.
func (g *registering) heard(status int, after time.Duration, why string) {
	now := time.Now()
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	switch to := g.way.peer.target(g.way.endpoint); {
	case to == nil:
	case status == 0:
		g.m.silentLocked(g.t, to, why, now)
	default:
		g.m.heardLocked(g.t, to, status, after, now)
	}
}
