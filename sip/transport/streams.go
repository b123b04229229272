package transport

import (
	"container/list"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"bellhop/routing/location"
)

// ErrGone reports that the connection of a flow is closed: the peer must come
// again, or, where we may call it, be dialed again.
var ErrGone = errors.New("transport: connection is gone")

// Limits bound what connections take. A zero field means its default.
type Limits struct {
	Connections int           // of all peers: 50,000
	PerSource   int           // of one address, or IPv6 /64: 1,000
	Unproven    int           // of all peers, connections that proved nothing: 1,000; of one source a tenth
	Idle        time.Duration // a connection that is silent for longer is closed: 65 min
	Unparsed    int           // bytes of messages that have begun: 64 MiB; of one source a sixteenth
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Connections, 50_000)
	orDefault(&l.PerSource, 1000)
	orDefault(&l.Unproven, 1000)
	orDefault(&l.Unparsed, 64<<20)
	if l.Idle <= 0 {
		l.Idle = 65 * time.Minute // a phone without keep-alives refreshes within the hour
	}
	return l
}

// ofSource is the share of a quota that one source may take: enough for an
// office behind one address that comes back after an outage.
func ofSource(n, share int) int { return max(n/share, min(n, 16)) }

// peerShards is the number of parts of the table of connections.
const peerShards = 64

// streams are the connections of a transport.
type streams struct {
	limits  Limits
	gone    func(*Peer) // told of each that closed, but not when all do
	metrics *streamMetrics
	batches sync.Pool
	wg      sync.WaitGroup // peers and their writers
	last    atomic.Uint64  // identity of a connection; starts anywhere
	shards  [peerShards]peerShard

	mu       sync.Mutex // guards what follows
	closing  bool
	all      map[*Peer]struct{}
	unproven list.List // of *Peer, oldest first
	sources  map[netip.Addr]*source
	places   map[location.Flow]*Peer // the newest connection between two addresses; the Flow has no Conn
	unparsed int
}

// peerShard is the connections that are ready, by identity.
type peerShard struct {
	mu    sync.RWMutex
	peers map[uint64]*Peer
}

// A source is an address and what it takes.
type source struct{ peers, unproven, unparsed int }

func newStreams(l Limits, gone func(*Peer), m *streamMetrics) *streams {
	s := &streams{
		limits: l.withDefaults(), gone: gone, metrics: m,
		all: make(map[*Peer]struct{}), sources: make(map[netip.Addr]*source), places: make(map[location.Flow]*Peer),
	}
	for i := range s.shards {
		s.shards[i].peers = make(map[uint64]*Peer)
	}
	s.last.Store(rand.Uint64() >> 1) // flows that were stored by another process, or at another node, are none of ours
	s.batches.New = func() any { return new(batch) }
	return s
}

// payer is the source that an address belongs to.
func payer(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(64); err == nil { // one subscriber has so many
			return p.Addr()
		}
	}
	return a
}

// admit makes a connection that came from an address a peer, or says why not.
// Where there is no room an Unproven one goes, the oldest first. The peer counts
// until leave; free ones do not count for their source.
func (s *streams) admit(l link, from netip.Addr, free bool) (*Peer, string) {
	p := &Peer{s: s, link: l, started: time.Now(), done: make(chan struct{})}
	s.mu.Lock()
	if why := s.admitLocked(p, from, free); why != "" {
		s.mu.Unlock()
		return nil, why
	}
	var evicted *Peer
	if len(s.all) > s.limits.Connections || s.unproven.Len() > s.limits.Unproven {
		evicted = s.unproven.Front().Value.(*Peer) // p is there if nobody else
		s.proveLocked(evicted)                     // it is not evicted twice
	}
	s.mu.Unlock()
	if evicted != nil {
		evicted.close(reasonEvicted)
	}
	return p, ""
}

func (s *streams) admitLocked(p *Peer, from netip.Addr, free bool) string {
	if s.closing {
		return reasonStop
	}
	if len(s.all) >= s.limits.Connections && s.unproven.Len() == 0 {
		return reasonFull
	}
	if !free {
		if why := s.chargeLocked(p, from); why != "" {
			return why
		}
	}
	s.wg.Add(1) // leave takes it back; nobody waits yet, for closing is not set
	s.all[p] = struct{}{}
	p.place = s.unproven.PushBack(p)
	return ""
}

// chargeLocked makes a source pay for an Unproven p.
func (s *streams) chargeLocked(p *Peer, from netip.Addr) string {
	from = payer(from)
	src := s.sources[from]
	if src == nil {
		src = new(source)
		s.sources[from] = src
	}
	if src.peers >= s.limits.PerSource || src.unproven >= ofSource(s.limits.Unproven, 10) {
		return reasonSource
	}
	src.peers++
	src.unproven++
	p.source = from
	return ""
}

// charge makes a source pay for a free peer, whose address was not known before.
func (s *streams) charge(p *Peer, from netip.Addr) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chargeLocked(p, from)
}

// prove raises the standing of p.
func (s *streams) prove(p *Peer, to Standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if Standing(p.standing.Load()) >= to {
		return
	}
	p.standing.Store(uint32(to))
	if to == Proven {
		s.proveLocked(p)
	}
}

// proveLocked takes p out of those that are evicted.
func (s *streams) proveLocked(p *Peer) {
	if p.place == nil {
		return
	}
	s.unproven.Remove(p.place)
	p.place = nil
	if src := s.sources[p.source]; src != nil {
		src.unproven--
	}
}

// enter puts p into the table: from now on its flow can be sent to.
func (s *streams) enter(p *Peer, f location.Flow) {
	f.Conn = s.last.Add(1)
	p.flow = f
	sh := &s.shards[f.Conn%peerShards]
	sh.mu.Lock()
	sh.peers[f.Conn] = p
	sh.mu.Unlock()
	s.metrics.open[f.Transport].Inc()
	f.Conn = 0
	s.mu.Lock()
	s.places[f] = p
	s.mu.Unlock()
}

// between returns the connection that has the addresses of f.
func (s *streams) between(f location.Flow) *Peer {
	f.Conn = 0
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places[f]
}

// peer returns the connection of a flow.
func (s *streams) peer(f location.Flow) *Peer {
	sh := &s.shards[f.Conn%peerShards]
	sh.mu.RLock()
	p := sh.peers[f.Conn]
	sh.mu.RUnlock()
	if p == nil || p.flow != f { // a flow of another life, or of another node
		return nil
	}
	return p
}

// leave ends the account of p, which is closed.
func (s *streams) leave(p *Peer) {
	defer s.wg.Done()
	if f := p.flow; f.Conn != 0 {
		sh := &s.shards[f.Conn%peerShards]
		sh.mu.Lock()
		delete(sh.peers, f.Conn)
		sh.mu.Unlock()
		s.metrics.open[f.Transport].Dec()
		s.metrics.closed(f.Transport, *p.why.Load())
	}
	s.mu.Lock()
	s.proveLocked(p)
	s.holdLocked(p, 0)
	delete(s.all, p)
	place := p.flow
	if place.Conn = 0; s.places[place] == p {
		delete(s.places, place)
	}
	if src := s.sources[p.source]; src != nil {
		if src.peers--; src.peers == 0 {
			delete(s.sources, p.source)
		}
	}
	tell := !s.closing && p.flow.Conn != 0
	s.mu.Unlock()
	if tell && s.gone != nil {
		s.gone(p)
	}
}

// hold makes p pay for so many bytes beyond the base; false when that is too
// much.
func (s *streams) hold(p *Peer, bytes int) bool {
	if bytes == p.held { // only its reader changes it
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holdLocked(p, bytes)
}

func (s *streams) holdLocked(p *Peer, bytes int) bool {
	more := bytes - p.held
	src := s.sources[p.source]
	if more > 0 {
		if s.unparsed+more > s.limits.Unparsed || src != nil && src.unparsed+more > ofSource(s.limits.Unparsed, 16) {
			return false
		}
	}
	s.unparsed += more
	if src != nil {
		src.unparsed += more
	}
	p.held = bytes
	return true
}

// close ends all connections, and waits for them.
func (s *streams) close() {
	s.mu.Lock()
	s.closing = true
	all := make([]*Peer, 0, len(s.all))
	for p := range s.all {
		all = append(all, p)
	}
	s.mu.Unlock()
	for _, p := range all {
		p.close(reasonStop)
	}
	s.wg.Wait()
}
