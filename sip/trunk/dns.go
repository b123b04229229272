package trunk

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// How long names are believed, and asked for.
const (
	minTTL      = time.Second      // a TTL of 0 still serves the calls of one second
	maxTTL      = time.Hour        // who says more may be lying, and would be believed for long
	noSOA       = 30 * time.Second // a negative answer without SOA (RFC 2308 §5 would not cache it)
	maxNegative = 5 * time.Minute
	staleFor    = 24 * time.Hour   // RFC 8767: an old answer is better than none
	staleTTL    = 30 * time.Second // RFC 8767 §4: before a stale name is asked for again
	failTTL     = 2 * time.Second  // servers that fail are not asked for the same at once

	firstWait   = time.Second // for one server, in the first round
	secondWait  = 2 * time.Second
	lookupLimit = 5 * time.Second // for all of one question

	maxNames   = 4096 // cached at one time
	maxRecords = 32   // of one answer, and one chain; the rest is passed over
	maxChain   = 8    // CNAMEs behind each other
)

// Errors of a lookup.
var (
	errNoName  = errors.New("no such name or record")
	errLoop    = errors.New("CNAMEs lead nowhere")
	errServers = errors.New("no name server answers")
)

// An exchanger asks one name server one question.
type exchanger interface {
	exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error)
}

// network is the exchanger of real servers. Each question has a socket, and so
// a source port, of its own: who is not on the path has to guess it (RFC 5452).
type network struct{}

func (network) exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	udp := dns.Client{UDPSize: udpSize}
	r, _, err := udp.ExchangeContext(ctx, q, server)
	if err == nil && r.Truncated {
		tcp := dns.Client{Net: "tcp"}
		r, _, err = tcp.ExchangeContext(ctx, q, server)
	}
	return r, err
}

// udpSize is the largest answer over UDP: it is not fragmented (RFC 9715).
const udpSize = 1232

// A record is what resolving needs of one resource record.
type record struct {
	order, pref uint16 // NAPTR; of SRV priority and weight
	port        uint16
	service     string // NAPTR
	target      string // name, in lower case with its dot
	addr        netip.Addr
}

type question struct {
	name string // in lower case with its dot
	kind uint16
}

// An entry is what is known of a question. It does not change.
type entry struct {
	records []record
	err     error // errNoName, errLoop, or why the servers failed
	expires time.Time
	gone    time.Time // until then it may serve stale
}

// names asks the name servers and remembers what they said.
type names struct {
	exchanger exchanger
	again     func() ([]string, error) // which servers there are now; nil: the same
	good      atomic.Uint32            // index of the server that answered last

	mu      sync.Mutex // guards what follows
	servers []string
	cache   map[question]*entry
	pending map[question]chan struct{} // closed when the question was answered
}

func newNames(x exchanger, servers []string) *names {
	return &names{exchanger: x, servers: servers, cache: map[question]*entry{}, pending: map[question]chan struct{}{}}
}

// lookup returns the records of a name. Askers of the same question wait for
// one answer.
func (n *names) lookup(ctx context.Context, name string, kind uint16) ([]record, error) {
	q := question{strings.ToLower(dns.Fqdn(name)), kind}
	for {
		n.mu.Lock()
		e, done := n.cache[q], n.pending[q]
		if e != nil && time.Now().Before(e.expires) {
			n.mu.Unlock()
			return e.records, e.err
		}
		if done == nil {
			done = make(chan struct{})
			n.pending[q] = done
			n.mu.Unlock()
			return n.answer(ctx, q, e, done)
		}
		n.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// answer asks the servers and stores what they say. old is what is known
// already; it serves on when nobody answers.
func (n *names) answer(ctx context.Context, q question, old *entry, done chan struct{}) ([]record, error) {
	limited, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	e := n.ask(limited, q)
	now := time.Now()
	failed := e.err != nil && !errors.Is(e.err, errNoName) && !errors.Is(e.err, errLoop)
	switch {
	case failed && old != nil && old.err == nil && now.Before(old.gone):
		e = &entry{records: old.records, expires: now.Add(staleTTL), gone: old.gone}
	case failed && ctx.Err() != nil: // the asker gave up: that says nothing of the name
		e.expires = now
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.storeLocked(q, e, now)
	if failed && n.again != nil { // the host may have moved to another network
		if servers, err := n.again(); err == nil {
			n.servers = servers
		}
	}
	delete(n.pending, q)
	close(done)
	return e.records, e.err
}

// storeLocked keeps e; with too many names another gives way.
func (n *names) storeLocked(q question, e *entry, now time.Time) {
	if _, known := n.cache[q]; !known && len(n.cache) >= maxNames {
		for other, old := range n.cache {
			if now.After(old.expires) || len(n.cache) >= maxNames {
				delete(n.cache, other)
			}
			if len(n.cache) < maxNames*3/4 {
				break
			}
		}
	}
	n.cache[q] = e
}

// ask follows the CNAMEs of a name from answer to answer.
func (n *names) ask(ctx context.Context, q question) *entry {
	ttl, at := maxTTL, q.name
	for hops := 0; ; {
		r, err := n.query(ctx, at, q.kind)
		now := time.Now()
		if err != nil {
			return &entry{err: fmt.Errorf("%s: %w", at, err), expires: now.Add(failTTL)}
		}
		c := chase(r, at, q.kind, ttl, hops)
		at, ttl, hops = c.name, c.ttl, c.hops
		switch {
		case hops > maxChain:
			return &entry{err: fmt.Errorf("%s: %w", q.name, errLoop), expires: now.Add(noSOA)}
		case len(c.records) > 0:
			return &entry{records: c.records, expires: now.Add(ttl), gone: now.Add(ttl + staleFor)}
		case c.moved && r.Rcode == dns.RcodeSuccess && !hasSOA(r): // a server that does not follow
			continue
		default:
			return &entry{err: fmt.Errorf("%s: %w", at, errNoName), expires: now.Add(min(negativeTTL(r), ttl))}
		}
	}
}

// query asks the servers, the last good one first, two rounds at most.
func (n *names) query(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	m.SetEdns0(udpSize, false)
	n.mu.Lock()
	servers := n.servers
	n.mu.Unlock()
	err := errServers
	for _, wait := range []time.Duration{firstWait, secondWait} {
		start := n.good.Load()
		for i := range servers {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			at := (int(start) + i) % len(servers)
			r, failed := n.once(ctx, m, servers[at], wait)
			if failed == nil {
				n.good.Store(uint32(at))
				return r, nil
			}
			err = fmt.Errorf("%w: %s: %w", errServers, servers[at], failed)
		}
	}
	return nil, err
}

func (n *names) once(ctx context.Context, m *dns.Msg, server string, wait time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	q := m.Copy()
	q.Id = dns.Id()
	r, err := n.exchanger.exchange(ctx, q, server)
	switch {
	case err != nil:
		return nil, err
	case r == nil || !r.Response || r.Id != q.Id || len(r.Question) != 1 ||
		!strings.EqualFold(r.Question[0].Name, q.Question[0].Name) || r.Question[0].Qtype != q.Question[0].Qtype:
		return nil, errors.New("the answer is to another question")
	case r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError:
		return nil, errors.New(dns.RcodeToString[r.Rcode])
	default:
		return r, nil
	}
}

// A chain is where the CNAMEs of an answer led.
type chain struct {
	name    string
	ttl     time.Duration // the shortest
	hops    int
	moved   bool
	records []record
}

// chase follows name through one answer; records that do not belong to the
// chain are not believed.
func chase(r *dns.Msg, name string, kind uint16, ttl time.Duration, hops int) chain {
	c := chain{name: name, ttl: ttl, hops: hops}
	for c.hops <= maxChain {
		next := ""
		for _, rr := range r.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, c.name) {
				continue
			}
			if rec, ok := read(rr, kind); ok && len(c.records) < maxRecords {
				c.records = append(c.records, rec)
				c.ttl = min(c.ttl, ttlOf(h.Ttl))
			}
			if alias, ok := rr.(*dns.CNAME); ok {
				next = strings.ToLower(alias.Target)
				c.ttl = min(c.ttl, ttlOf(h.Ttl))
			}
		}
		if len(c.records) > 0 || next == "" {
			return c
		}
		c.name, c.moved = next, true
		c.hops++
	}
	return c
}

func ttlOf(seconds uint32) time.Duration {
	return min(max(time.Duration(seconds)*time.Second, minTTL), maxTTL)
}

// read takes what is needed of rr when it is of the kind.
func read(rr dns.RR, kind uint16) (record, bool) {
	if rr.Header().Rrtype != kind {
		return record{}, false
	}
	switch rr := rr.(type) {
	case *dns.A:
		a, ok := netip.AddrFromSlice(rr.A.To4())
		return record{addr: a}, ok
	case *dns.AAAA:
		a, ok := netip.AddrFromSlice(rr.AAAA)
		return record{addr: a.Unmap()}, ok && a.Is6() && !a.Is4In6()
	case *dns.SRV:
		rec := record{order: rr.Priority, pref: rr.Weight, port: rr.Port, target: strings.ToLower(rr.Target)}
		return rec, rr.Port != 0 || rr.Target == "."
	case *dns.NAPTR:
		// RFC 3263 §4.1 uses the flag "s" alone, and no regular expressions.
		ok := strings.EqualFold(rr.Flags, "s") && rr.Regexp == ""
		return record{order: rr.Order, pref: rr.Preference, service: strings.ToUpper(rr.Service), target: strings.ToLower(rr.Replacement)}, ok
	default:
		return record{}, false
	}
}

func hasSOA(r *dns.Msg) bool {
	return slices.ContainsFunc(r.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
}

// negativeTTL is how long there being nothing is believed (RFC 2308 §5).
func negativeTTL(r *dns.Msg) time.Duration {
	for _, rr := range r.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(ttlOf(min(soa.Hdr.Ttl, soa.Minttl)), maxNegative)
		}
	}
	return noSOA
}

// systemServers are the name servers of the host (resolv.conf(5)).
func systemServers(file string) ([]string, error) {
	c, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("trunk: name servers: %w", err)
	}
	var out []string
	for _, s := range c.Servers {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("trunk: name server: %w", err)
		}
		out = append(out, netip.AddrPortFrom(a, 53).String())
	}
	return out, nil
}
