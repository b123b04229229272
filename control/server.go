package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
)

// Options are what the API needs of the daemon. Documents, Sessions, Tokens and
// Sealer must be there; without one of the others its routes answer 501.
type Options struct {
	Documents     Documents
	Sessions      Sessions
	Tokens        Tokens
	Sealer        Sealer
	Registrations Registrations
	Calls         Calls
	Hanger        Hanger
	Ladder        Ladder
	Trunks        Trunks
	Records       Records
	World         World
	Node          Node
	Feed          *feed.Stream // drained by [Server.Run]; nil: no events

	// AdminToken is BELLHOP_ADMIN_TOKEN: 32 characters or more, a system-admin
	// until there is one. "" is none.
	AdminToken string
	// Plain allows passwords to be set without TLS, for a listener behind a
	// balancer that ends TLS.
	Plain bool
	// MetricsToken makes GET /metrics of [Server.Operations] take it as a bearer
	// token. "" leaves that listener open; the API's own /metrics always takes a
	// system-admin.
	MetricsToken string

	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: metrics are counted and not shown
	Gatherer   prometheus.Gatherer   // what /metrics shows; nil: nothing
	Version    string
}

// A Server is the API. Make one with [New], serve [Server.Handler], and [Server.Run] it.
type Server struct {
	opts        Options
	log         *slog.Logger
	hub         *hub
	hasher      *hasher
	brake       *brake
	metrics     *metrics
	adminToken  string // hash, "" for none
	handler     http.Handler
	operations  http.Handler
	openapi     []byte
	docs        []byte
	openStreams atomic.Int64
	resources   []*resource
	planned     chan struct{} // a change was added: [Server.runChanges] looks
	stopping    chan struct{} // closed when Run ends: streams end
	stopOnce    sync.Once
}

// New builds the API; what can fail fails here.
func New(opts Options) (*Server, error) {
	if opts.Documents == nil || opts.Sessions == nil || opts.Tokens == nil || opts.Sealer == nil {
		return nil, errors.New("control: documents, sessions, tokens and sealer must be there")
	}
	if n := len(opts.AdminToken); n > 0 && n < minAdminToken {
		return nil, fmt.Errorf("control: the admin token has %d characters, %d are the least", n, minAdminToken)
	}
	s := &Server{opts: opts, log: opts.Logger, hasher: newHasher(fullCost()), brake: newBrake(), hub: newHub(opts.Feed, hubRing), stopping: make(chan struct{}), resources: resources(), planned: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if opts.AdminToken != "" {
		s.adminToken = hashOf(opts.AdminToken)
	}
	var err error
	if s.metrics, err = newMetrics(opts.Registerer); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	es := endpoints(s.resources)
	if s.openapi, s.docs, err = describe(es, opts.Version); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	s.handler = harden(s.routes(es))
	s.operations = harden(s.operationsMux())
	return s, nil
}

// Handler serves the API under /v1, /openapi.json, /docs, /healthz, /readyz and
// /metrics (which takes a system-admin there).
func (s *Server) Handler() http.Handler { return s.handler }

// Operations serves /healthz, /readyz and /metrics for a listener of their own.
func (s *Server) Operations() http.Handler { return s.operations }

// Run drains the feed and makes changes whose time has come, until ctx ends, and waits for what it started. Event
// streams end with it, so that a graceful stop of the HTTP server is not held up.
func (s *Server) Run(ctx context.Context) error {
	defer s.stopOnce.Do(func() { close(s.stopping) })
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.runChanges(ctx) })
	if s.opts.Feed == nil {
		<-ctx.Done()
		return nil
	}
	s.hub.run(ctx)
	return nil
}

// endpoints is the table of the whole API.
func endpoints(all []*resource) []endpoint {
	var es []endpoint
	for _, rs := range all {
		es = append(es, rs.endpoints()...)
	}
	es = append(es, sessionEndpoints()...)
	es = append(es, meEndpoints()...)
	es = append(es, importEndpoint())
	es = append(es, changeEndpoints()...)
	es = append(es, pinEndpoints()...)
	es = append(es, capabilityEndpoints()...)
	es = append(es, activationEndpoints()...)
	es = append(es, trunkEndpoints()...)
	es = append(es, callEndpoints()...)
	return append(es, nodeEndpoints()...)
}

// absent is the answer of a route whose part of the daemon is not there.
func absent(what string) error {
	return problem(http.StatusNotImplemented, "node.without", "this node has no %s", what)
}
