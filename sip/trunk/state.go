package trunk

import (
	"cmp"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// A trunk is one trunk and how it is. The mutex of the manager guards it.
type trunk struct {
	key

	def          *directory.Peering // as its documents say; replaced, never changed
	routes       []directory.Route  // longest prefix first, then by priority
	peers        []*peer
	registration registration
	rate         bucket

	up    bool
	since time.Time // since when up is as it is

	attempts map[string]uint64 // by result, for metrics
	refused  map[string]uint64 // by limit
}

func newTrunk(k key, now time.Time) *trunk {
	return &trunk{key: k, since: now, attempts: map[string]uint64{}, refused: map[string]uint64{}, rate: bucket{filled: now.Add(-time.Second)}}
}

// A peer is one peer of a trunk: a name, and the addresses it has now.
type peer struct {
	directory.Peer
	targets []*target // as the name resolved last
	err     string    // why it did not
	probe   time.Time // when it is asked next; zero: never
}

// A target is one address of a peer.
type target struct {
	endpoint
	state   health
	misses  int       // of OPTIONS, one after the other
	asked   time.Time // when OPTIONS went out that nobody answered yet; zero: none
	seen    time.Time // last answer to anything
	resting time.Time // 503: no request before (RFC 3261 §21.5.4)
	failed  int       // attempts without an answer, one after the other
	backoff time.Time // after them
	err     string
}

type health uint8

const (
	unknown health = iota // not asked yet
	up
	down
)

// usable reports whether a call may be tried there.
func (g *target) usable(now time.Time) bool {
	return g.state != down && !now.Before(g.resting) && !now.Before(g.backoff)
}

// defineLocked puts what the documents say in force. What stays the same goes on
// from where it is.
func (m *Manager) defineLocked(t *trunk, def *directory.Peering, now time.Time) {
	old := t.def
	t.def = def
	m.defineRegistrationLocked(t, old, now) // who deregisters needs the old peers
	t.routes = slices.Clone(def.Trunk.Routes)
	slices.SortStableFunc(t.routes, func(a, b directory.Route) int {
		return cmp.Or(cmp.Compare(len(b.Prefix), len(a.Prefix)), cmp.Compare(a.Priority, b.Priority))
	})
	var peers []*peer
	for _, p := range def.Peers {
		i := slices.IndexFunc(t.peers, func(old *peer) bool { return old.Peer == p })
		if i >= 0 {
			peers = append(peers, t.peers[i])
		} else {
			peers = append(peers, &peer{Peer: p})
		}
	}
	t.peers = peers
	for _, p := range t.peers {
		switch {
		case def.Trunk.Health == directory.HealthOff:
			p.probe = time.Time{}
			for _, g := range p.targets {
				if g.state == down {
					g.state = unknown
				}
				g.asked, g.misses = time.Time{}, 0
			}
		case p.probe.IsZero():
			p.probe = now.Add(spread(firstProbe))
		}
	}
	m.seeLocked(t, now)
}

// resolvedLocked takes the endpoints that a peer has now. Those it had keep what
// is known of them.
func (p *peer) resolvedLocked(eps []endpoint, err error) {
	if err != nil {
		p.err = err.Error()
		return // the old ones are better than none
	}
	p.err = ""
	targets := make([]*target, 0, len(eps))
	for _, ep := range eps {
		g := p.target(ep)
		if g == nil {
			g = &target{endpoint: ep}
		}
		targets = append(targets, g)
	}
	p.targets = targets
}

// target returns the target at an endpoint, or nil.
func (p *peer) target(ep endpoint) *target {
	for _, g := range p.targets {
		if g.endpoint == ep {
			return g
		}
	}
	return nil
}

// at returns the targets of a trunk where a flow leads; several peers may be
// the same host.
func (t *trunk) at(f location.Flow) (out []*target) {
	for _, p := range t.peers {
		for _, g := range p.targets {
			if g.transport == f.Transport && g.addr == f.Remote {
				out = append(out, g)
			}
		}
	}
	return out
}

// seeLocked notes whether a call could leave by the trunk. With health on, that
// takes a peer that has answered.
func (m *Manager) seeLocked(t *trunk, now time.Time) {
	is := false
	for _, p := range t.peers {
		is = is || p.up(t, now)
	}
	if is != t.up {
		t.up, t.since = is, now
		m.tellLocked(t, func(log *slog.Logger) { log.Info("trunk changed", slog.Bool("up", is)) })
	}
}

// up reports whether a peer can take calls.
func (p *peer) up(t *trunk, now time.Time) bool {
	if t.def.Trunk.Health == directory.HealthOff && len(p.targets) == 0 {
		return p.err == "" // nobody called yet
	}
	return slices.ContainsFunc(p.targets, func(g *target) bool {
		return g.usable(now) && (g.state == up || t.def.Trunk.Health == directory.HealthOff)
	})
}

// heardLocked notes an answer of a peer, whatever it was.
func (m *Manager) heardLocked(t *trunk, g *target, status int, retryAfter time.Duration, now time.Time) {
	g.state, g.misses, g.failed = up, 0, 0
	g.asked, g.backoff = time.Time{}, time.Time{}
	g.seen = now
	switch {
	case status == 503 && retryAfter > 0:
		// RFC 3261 §21.5.4. Without Retry-After it counts as a 500.
		g.resting = now.Add(min(retryAfter, maxRest))
		g.err = "503, resting"
	case status < 500:
		g.resting, g.err = time.Time{}, ""
	}
	m.seeLocked(t, now)
}

// silentLocked notes that a request got no answer, or could not be sent: the
// peer is left alone for a while, longer each time.
func (m *Manager) silentLocked(t *trunk, g *target, why string, now time.Time) {
	g.failed++
	g.backoff = now.Add(backoff(g.failed, failBase, failMax))
	g.err = why
	m.seeLocked(t, now)
}

const (
	maxRest  = time.Hour // a carrier that says more is asked again
	failBase = 2 * time.Second
	failMax  = time.Minute
)

// route returns what number is as it is dialled over the trunk: by the longest
// prefix of its routes. A route for every number says how canonical ones are
// dialled: an emergency number is dialled as it is.
func (t *trunk) route(number string) string {
	for _, r := range t.routes {
		if strings.HasPrefix(number, r.Prefix) && (r.Prefix != "" || strings.HasPrefix(number, "+")) {
			return (&directory.TrunkRoute{Strip: r.Strip, Prepend: r.Prepend}).Number(number)
		}
	}
	return number
}

// uri is the Request-URI of a call to number by a peer (RFC 3261 §19.1.6). A SIP
// address that a setting named is dialled as it is.
func (t *trunk) uri(p *peer, number string) string {
	if u, ok := wire.ParseURI([]byte(number)); ok && len(u.Host) > 0 {
		return number
	}
	b := wire.AppendEscapedUser([]byte("sip:"), t.route(number))
	return string(append(b, '@')) + hostPort(p.Peer) + transportParam(p.Transport)
}

// hostPort is a peer in a URI, without its transport.
func hostPort(p directory.Peer) string {
	s := p.Host
	if strings.Contains(s, ":") {
		s = "[" + s + "]"
	}
	if p.Port != 0 {
		s += ":" + strconv.Itoa(int(p.Port))
	}
	return s
}

func transportParam(transport string) string {
	if transport == "" || transport == "udp" {
		return ""
	}
	return ";transport=" + transport
}
