package trunk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"bellhop/routing/directory"
	"bellhop/routing/location"
)

// maxEndpoints is how many addresses of a peer are tried: a call that failed on
// so many fails.
const maxEndpoints = 16

// transportOf reads a transport as settings spell it; 0 for none.
func transportOf(s string) location.Transport {
	for _, t := range []location.Transport{location.UDP, location.TCP, location.TLS} {
		if strings.EqualFold(s, t.String()) {
			return t
		}
	}
	return 0
}

// An endpoint is where a request may go. It is comparable.
type endpoint struct {
	transport location.Transport
	addr      netip.AddrPort
	host      string // what its certificate must name (RFC 5922 §4)
}

// A resolver finds the endpoints of peers (RFC 3263).
type resolver struct {
	names *names
	// transports are those that can be used, the preferred one first, and v4
	// and v6 whether there are listeners of these families.
	transports []location.Transport
	v4, v6     bool
	choose     func(n int) int // a random number below n
}

func newResolver(n *names, transports []location.Transport, v4, v6 bool) *resolver {
	return &resolver{names: n, transports: transports, v4: v4, v6: v6, choose: rand.IntN}
}

var (
	errTransport = errors.New("no listener of its transport or address family")
	errService   = errors.New("the service is not offered there") // RFC 2782: target "."
)

// resolve returns the endpoints of p, in the order in which to try them. SRV
// records of equal priority come in another order each time, by weight.
func (r *resolver) resolve(ctx context.Context, p directory.Peer) ([]endpoint, error) {
	services, err := r.services(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", p, err)
	}
	var out []endpoint
	for _, s := range services {
		found, e := r.endpoints(ctx, p, s)
		if e != nil {
			err = e
			continue
		}
		for _, ep := range found {
			if len(out) < maxEndpoints && !slices.Contains(out, ep) {
				out = append(out, ep)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("resolve %s: %w", p, err)
	}
	return out, nil
}

// A service is a transport, and the name of its SRV records; "" when there are
// none to be looked for. Must says that those have been named, by NAPTR or SRV,
// so that the host's own addresses are no way in.
type service struct {
	transport location.Transport
	srv       string
	must      bool
}

// services chooses the transports (RFC 3263 §4.1).
func (r *resolver) services(ctx context.Context, p directory.Peer) ([]service, error) {
	_, numeric := p.Addr()
	if t := transportOf(p.Transport); t != 0 || numeric || p.Port != 0 {
		s := service{transport: cmp.Or(t, location.UDP)}
		if !slices.Contains(r.transports, s.transport) {
			return nil, errTransport
		}
		if !numeric && p.Port == 0 {
			s.srv = srvName(s.transport, p.Host)
		}
		return []service{s}, nil
	}
	out, err := r.naptr(ctx, p)
	if err != nil || len(out) > 0 {
		return out, err
	}
	for _, t := range r.transports {
		_, err := r.names.lookup(ctx, srvName(t, p.Host), dns.TypeSRV)
		switch {
		case err == nil:
			out = append(out, service{transport: t, srv: srvName(t, p.Host), must: true})
		case !nothing(err):
			return nil, err
		}
	}
	if len(out) == 0 {
		if !slices.Contains(r.transports, location.UDP) {
			return nil, errTransport
		}
		out = append(out, service{transport: location.UDP})
	}
	return out, nil
}

// nothing reports whether a lookup found that there is nothing.
func nothing(err error) bool { return errors.Is(err, errNoName) || errors.Is(err, errLoop) }

// naptr reads the services that the host itself prefers.
func (r *resolver) naptr(ctx context.Context, p directory.Peer) ([]service, error) {
	records, err := r.names.lookup(ctx, p.Host, dns.TypeNAPTR)
	switch {
	case nothing(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.pref, b.pref))
	})
	var out []service
	for _, rec := range records {
		var t location.Transport
		switch rec.service {
		case "SIP+D2U":
			t = location.UDP
		case "SIP+D2T":
			t = location.TCP
		case "SIPS+D2T":
			t = location.TLS
		default:
			continue
		}
		if slices.Contains(r.transports, t) {
			out = append(out, service{transport: t, srv: rec.target, must: true})
		}
	}
	return out, nil
}

func srvName(t location.Transport, host string) string {
	if t == location.TLS {
		return "_sips._tcp." + host
	}
	return "_sip._" + strings.ToLower(t.String()) + "." + host
}

// endpoints finds port and addresses (RFC 3263 §4.2).
func (r *resolver) endpoints(ctx context.Context, p directory.Peer, s service) ([]endpoint, error) {
	port := p.Port
	if port == 0 {
		port = 5060
		if s.transport == location.TLS {
			port = 5061
		}
	}
	addr, _ := p.Addr()
	host := record{target: p.Host, port: port, addr: addr}
	if s.srv == "" {
		return r.addresses(ctx, p, s.transport, []record{host})
	}
	records, err := r.names.lookup(ctx, s.srv, dns.TypeSRV)
	switch {
	case err == nil:
		return r.addresses(ctx, p, s.transport, r.weigh(records))
	case s.must || !nothing(err):
		return nil, err
	default:
		return r.addresses(ctx, p, s.transport, []record{host})
	}
}

// weigh orders SRV records: by priority, and among those of one priority at
// random by their weights (RFC 2782).
func (r *resolver) weigh(records []record) []record {
	left := slices.Clone(records)
	slices.SortStableFunc(left, func(a, b record) int { // those of weight 0 first, as RFC 2782 wants them
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.pref, b.pref))
	})
	out := make([]record, 0, len(left))
	for len(left) > 0 {
		n, sum := 0, 0
		for n < len(left) && left[n].order == left[0].order {
			sum += int(left[n].pref)
			n++
		}
		pick, run := r.choose(sum+1), 0
		for i := range n {
			if run += int(left[i].pref); run >= pick {
				out = append(out, left[i])
				left = slices.Delete(left, i, i+1)
				break
			}
		}
	}
	return out
}

// addresses looks up the hosts side by side and keeps their order.
func (r *resolver) addresses(ctx context.Context, p directory.Peer, t location.Transport, hosts []record) ([]endpoint, error) {
	if len(hosts) > maxEndpoints {
		hosts = hosts[:maxEndpoints]
	}
	type result struct {
		addrs []netip.Addr
		err   error
	}
	results := make([]result, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() { results[i].addrs, results[i].err = r.host(ctx, h) })
	}
	wg.Wait()
	var out []endpoint
	var err error
	for i, res := range results {
		if res.err != nil {
			err = res.err
		}
		for _, a := range res.addrs {
			if a.IsUnspecified() || a.IsMulticast() {
				continue // whoever named that, it is no host
			}
			out = append(out, endpoint{transport: t, addr: netip.AddrPortFrom(a, hosts[i].port), host: p.Host})
		}
	}
	if len(out) == 0 {
		return nil, cmp.Or(err, errService)
	}
	return out, nil
}

// host returns the addresses of one host, IPv6 first where we speak it (RFC
// 6724 §2.1).
func (r *resolver) host(ctx context.Context, h record) ([]netip.Addr, error) {
	switch {
	case h.addr.IsValid():
		if h.addr.Is4() && !r.v4 || h.addr.Is6() && !r.v6 {
			return nil, errTransport
		}
		return []netip.Addr{h.addr}, nil
	case h.target == ".":
		return nil, errService
	}
	name := strings.TrimSuffix(h.target, ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761 §6.3
		if r.v4 {
			return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
		}
		return []netip.Addr{netip.IPv6Loopback()}, nil
	}
	var out []netip.Addr
	var failed error
	for _, f := range []struct {
		kind uint16
		use  bool
	}{{dns.TypeAAAA, r.v6}, {dns.TypeA, r.v4}} {
		if !f.use {
			continue
		}
		records, err := r.names.lookup(ctx, h.target, f.kind)
		if err != nil && (failed == nil || !errors.Is(err, errNoName)) {
			failed = err
		}
		for _, rec := range records {
			out = append(out, rec.addr)
		}
	}
	if len(out) == 0 {
		return nil, cmp.Or(failed, errTransport)
	}
	return out, nil
}
