package trunk

import (
	"context"
	"errors"
	"net/netip"

	"github.com/miekg/dns"

	"bellhop/routing/directory"
	"bellhop/routing/location"
)

// A Resolver is the resolver for tests.
type Resolver struct{ r *resolver }

// Exchange answers one question, in the place of name servers.
type Exchange func(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error)

func (f Exchange) exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	return f(ctx, q, server)
}

// NewResolver returns a resolver that asks servers over the network, or f.
func NewResolver(f Exchange, servers []string, transports []location.Transport, v4, v6 bool) Resolver {
	var x exchanger = network{}
	if f != nil {
		x = f
	}
	return Resolver{newResolver(newNames(x, servers), transports, v4, v6)}
}

// Choose sets who draws lots.
func (r Resolver) Choose(f func(n int) int) { r.r.choose = f }

// Again sets what the host's name servers have become.
func (r Resolver) Again(servers ...string) {
	r.r.names.again = func() ([]string, error) { return servers, nil }
}

// Cached is how many questions are remembered.
func (r Resolver) Cached() int {
	r.r.names.mu.Lock()
	defer r.r.names.mu.Unlock()
	return len(r.r.names.cache)
}

// Resolve returns the endpoints of a peer as "UDP 192.0.2.1:5060".
func (r Resolver) Resolve(ctx context.Context, text string) ([]string, error) {
	p, ok := directory.ParsePeer(text)
	if !ok {
		return nil, errors.New("no peer")
	}
	eps, err := r.r.resolve(ctx, p)
	var out []string
	for _, e := range eps {
		out = append(out, e.transport.String()+" "+e.addr.String())
	}
	return out, err
}

// Lookup asks for addresses.
func (r Resolver) Lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	records, err := r.r.names.lookup(ctx, name, dns.TypeA)
	var out []netip.Addr
	for _, rec := range records {
		out = append(out, rec.addr)
	}
	return out, err
}

// Resolve gives a manager name servers that f stands for.
func (m *Manager) Resolve(f Exchange) { m.resolver.names = newNames(f, []string{"server"}) }

// Token is what the Contact of a trunk is called.
func (m *Manager) Token(domain, name string) string { return m.tokens(key{domain, name})[0] }
