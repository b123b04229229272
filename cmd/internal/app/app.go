// Package app wires the daemon: it is the only place that knows every package,
// and it translates nothing. What it hands to one package implements that
// package's interface as it is; a type that would need an adapter here lives in
// the wrong package. Tests start the whole daemon through it, on ports of their
// own.
//
// [App.Run] owns one goroutine for each part and waits for all of them.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"bellhop/config"
	"bellhop/control"
	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/sip"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/store/keyring"
	"bellhop/store/redisstore"
	"bellhop/store/sqlstore"
)

// Options are what the daemon needs from outside.
type Options struct {
	Config     *config.Config                 // in force at the start
	Load       func() (*config.Config, error) // reads it again; nil: there is nothing to read
	AdminToken config.Secret                  // of the environment; may be zero
	// StorePassword is that of the database; may be zero.
	StorePassword config.Secret
	Version       string
	Log           io.Writer // nil: discard
}

// An App is a daemon. Make one with [New], then [App.Run] it once.
type App struct {
	opts       Options
	started    time.Time
	logging    logSettings
	log        *slog.Logger
	metrics    *prometheus.Registry
	keys       *keyring.Ring
	store      *sqlstore.Store
	redis      *redisstore.Store // nil: none
	sip        *sip.Server
	feed       *feed.Stream
	cert       *certificate // of the API; nil: it is plain
	sipCert    certificate  // of TLS listeners, and of us when a trunk asks
	https      net.Listener
	operations net.Listener // nil: none
	parts      []part       // in the order of their start
	up         chan struct{}

	cleanups []cleanup // run last first

	draining     draining
	overload     overload
	drainTimeout atomic.Int64 // time.Duration
	reloads      *prometheus.CounterVec
	reload       sync.Mutex // one reload at a time; guards conf
	conf         *config.Config
	reloaded     atomic.Pointer[reloaded] // what became of the last reload
}

// feedSize is how many events may wait for the API. Some thousand calls a second
// with four events each fit into the second between two looks.
const feedSize = 16 << 10

// diskReserve is held back for settings and records on a full disk: thousands of
// changes, or a minute of records, to be warned in.
const diskReserve = 32 << 20

// spread is by how much registrations are granted shorter, in thousandths, so
// that phones which all came at once spread out.
const spread = 100

// gcPercent lets the heap grow to five times of what lives before it is
// collected. What lives is small, and each collection walks all of it: at 800
// calls a second the usual 100 costs a tenth of the processor time of a call. GOGC
// in the environment overrides it.
const gcPercent = 400

// New builds everything and binds every listener: what can fail fails here.
// What was built before a failure is closed again.
func New(ctx context.Context, opts Options) (_ *App, err error) {
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	c := opts.Config
	a := &App{opts: opts, conf: c, started: time.Now(), up: make(chan struct{}), feed: feed.NewStream(feedSize)}
	a.log = newLog(opts.Log, c.Log, &a.logging)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("app: %w", err), a.stop())
		}
	}()
	a.metrics = prometheus.NewRegistry()
	a.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bellhop_config_reloads_total", Help: "Reloads of the configuration, by result.",
	}, []string{"result"})
	a.metrics.MustRegister(a.reloads)
	a.drainTimeout.Store(int64(c.DrainTimeout))
	if err := makeFolders(c); err != nil {
		return nil, err
	}
	if a.keys, err = openKeys(c); err != nil {
		return nil, err
	}
	if err := a.openStore(ctx); err != nil {
		return nil, err
	}
	if err := a.openCertificates(); err != nil {
		return nil, err
	}
	if a.https, err = a.bind(ctx, "https", c.HTTPS.Bind); err != nil { // SIP over WebSocket is known by its address
		return nil, err
	}
	if err := a.openSIP(); err != nil { //nolint:contextcheck // binding does not wait
		return nil, err
	}
	a.registerHealth()
	if err := a.openAPI(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// openStore opens all that is kept.
func (a *App) openStore(ctx context.Context) error {
	dir := a.conf.Store.Dir
	var shared sqlstore.Shared
	if err := a.openRedis(ctx); err != nil {
		return err
	}
	if a.redis != nil {
		shared = a.redis
	}
	var err error
	o := sqlstore.Options{
		Shared: shared,
		File:   filepath.Join(dir, sqlstore.FileName), Journal: filepath.Join(dir, "journal"), Node: uint16(a.conf.Node.Number),
		Reserve: diskReserve,
		Feed:    a.feed, Logger: a.log, Registerer: a.metrics,
	}
	if c := a.conf.Store; c.URL != "" {
		o.Keys = a.keys
		o.PostgreSQL = &sqlstore.PostgreSQL{
			URL: c.URL, Password: a.opts.StorePassword.Reveal(), Connections: c.Connections, Timeout: time.Duration(c.Timeout),
		}
	}
	if a.store, err = sqlstore.New(ctx, o); err != nil {
		return blame(err, a.conf)
	}
	a.onStop("store", a.store.Close)
	a.parts = append(a.parts, part{"store", a.store.Run})
	if a.redis == nil {
		return nil
	}
	a.parts = append(a.parts, part{"redis", a.redis.Run})
	if err := a.redis.Attach(ctx, a.store, a.store.Bindings, a.store.Cache); err != nil {
		return fmt.Errorf("store.redis: %w", err)
	}
	return nil
}

// openRedis opens what nodes share, where they do.
func (a *App) openRedis(ctx context.Context) (err error) {
	at := a.conf.Store.Redis
	if at.IsZero() {
		return nil
	}
	if a.redis, err = redisstore.New(ctx, redisstore.Options{URL: at.Reveal(), Logger: a.log, Registerer: a.metrics}); err != nil {
		return fmt.Errorf("store.redis: %w", err)
	}
	a.onStop("redis", a.redis.Close)
	return nil
}

// blame names the key of the configuration that an error of the store is about.
func blame(err error, c *config.Config) error {
	switch {
	case c.Store.URL == "":
		return err
	case errors.Is(err, sqlstore.ErrNumber):
		return fmt.Errorf("node.number: %w", err)
	case errors.Is(err, sqlstore.ErrKeys):
		return fmt.Errorf("keys.dir: %w", err)
	case errors.Is(err, sqlstore.ErrInUse):
		return fmt.Errorf("store.dir: %w", err)
	default:
		return fmt.Errorf("store.url: %w", err)
	}
}

// openKeys opens the key ring. Nodes on one database share one (trust.md §1): a
// node that made its own could not open what others sealed.
func openKeys(c *config.Config) (*keyring.Ring, error) {
	ring, err := keyring.New(keyring.Options{Dir: c.Keys.Dir, Create: c.Store.URL == ""})
	if errors.Is(err, keyring.ErrEmpty) || c.Store.URL != "" && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keys.dir: %w: nodes on one PostgreSQL share a ring: copy the folder from a node that runs; for the first node `bellhop keys %s` makes one", err, c.Keys.Dir)
	}
	return ring, err
}

// openSIP binds the SIP listeners.
func (a *App) openSIP() error {
	c := a.conf
	listeners, err := a.sipListeners()
	if err != nil {
		return err
	}
	client, err := a.clientTLS()
	if err != nil {
		return err
	}
	a.sip, err = sip.New(sip.Options{
		Listeners: listeners, ClientTLS: client,
		Connections: transport.Limits{
			Connections: c.Limits.Connections, PerSource: c.Limits.ConnectionsPerSource, Unproven: c.Limits.ConnectionsUnproven,
			Idle: time.Duration(c.Limits.ConnectionIdle),
		},
		Store: a.store, Feed: a.feed,
		Keys: a.keys, Credentials: a.store.Cache.Credentials(), World: a.store.Cache, Tenants: a.store.Cache, Trunks: a.store.Cache,
		Calls: a.store.Calls, Settings: a.store, Location: a.store.Bindings, Node: uint8(c.Node.Number),
		Digest: c.SIP.Digest, MD5Only: c.SIP.MD5Only, MaxLanes: c.Limits.Calls,
		Timers: transaction.Timers{
			T1: time.Duration(c.SIP.Timers.T1), T2: time.Duration(c.SIP.Timers.T2), T4: time.Duration(c.SIP.Timers.T4), C: time.Duration(c.SIP.Timers.C),
		},
		ReadBuffer: c.SIP.UDP.ReceiveBuffer, WriteBuffer: c.SIP.UDP.SendBuffer, Ladder: c.SIP.Ladder,
		Limits: location.Limits{
			Min: time.Duration(c.Registration.MinExpires), Max: time.Duration(c.Registration.MaxExpires), Default: min(time.Hour, time.Duration(c.Registration.MaxExpires)),
			Contacts: c.Registration.Contacts, Instances: c.Registration.Instances, Spread: spread,
		},
		Registerer: a.metrics, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.onStop("sip listeners", a.sip.Close)
	a.parts = append(a.parts, part{"sip", a.sip.Run}, part{"watch", a.watch})
	return nil
}

// openAPI makes the API and binds its listeners.
func (a *App) openAPI(ctx context.Context) error {
	api, err := control.New(control.Options{ //nolint:contextcheck // its handlers have the context of their request
		Documents: a.store, Sessions: a.store, Tokens: a.store, Sealer: a.keys, Trunks: a.sip.Trunks(), Hanger: a.sip, Ladder: a.sip, Registrations: a.store.Bindings,
		Calls: a.store.Calls, Records: a.store, World: a.store.Cache, Node: a, Feed: a.feed,
		AdminToken: a.opts.AdminToken.Reveal(), Plain: a.conf.HTTPS.Plain,
		Logger: a.log, Registerer: a.metrics, Gatherer: a.metrics, Version: a.opts.Version,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", api.Handler())
	mux.Handle("/sip", a.sip.WebSocket())
	w := &web{ln: a.https, handler: mux, tls: a.cert, log: a.log}
	a.parts = append(a.parts, part{"https", w.serve})
	if at := a.conf.Metrics.Bind; at.IsValid() {
		if a.operations, err = a.bind(ctx, "metrics", at); err != nil {
			return err
		}
		w := &web{ln: a.operations, handler: api.Operations(), log: a.log}
		a.parts = append(a.parts, part{"metrics", w.serve})
	}
	// The last to start is the first to stop: with it event streams end, which
	// would hold up the end of https.
	a.parts = append(a.parts, part{"control", api.Run})
	return nil
}

// bind listens on at until the daemon stops.
func (a *App) bind(ctx context.Context, name string, at netip.AddrPort) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	a.onStop(name+" listener", func() error {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return ln, nil
}

// HTTPSAddr is the address of the API: it tells which port a 0 became.
func (a *App) HTTPSAddr() netip.AddrPort { return tcpAddr(a.https) }

func tcpAddr(ln net.Listener) netip.AddrPort {
	if at, ok := ln.Addr().(*net.TCPAddr); ok {
		return at.AddrPort()
	}
	return netip.AddrPort{}
}

// SIPAddr is the address of the first SIP listener of a transport; not valid when
// there is none.
func (a *App) SIPAddr(of config.Transport) netip.AddrPort {
	for i, l := range a.opts.Config.SIP.Listeners {
		if l.Transport == of {
			return a.sip.Addrs()[i]
		}
	}
	return netip.AddrPort{}
}

// Logger is the log of the daemon.
func (a *App) Logger() *slog.Logger { return a.log }

// Up is closed when everything runs.
func (a *App) Up() <-chan struct{} { return a.up }

// Close undoes New when Run was never called.
func (a *App) Close() error { return a.stop() }

// Run serves until ctx ends, stops everything, and returns why it ended: nil
// when that was ctx.
func (a *App) Run(ctx context.Context) error {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for _, p := range a.parts {
		a.start(ctx, p, fail)
	}
	a.log.InfoContext(ctx, "bellhop is up", slog.String("version", a.opts.Version), slog.String("node", a.opts.Config.Node.Name), slog.Any("listen", a.listening()))
	close(a.up)
	<-ctx.Done()
	cause := context.Cause(ctx)
	a.draining.begin(true)
	err := a.stop()
	if !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	a.log.InfoContext(ctx, "bellhop has stopped")
	return err
}

// listening are the addresses of all listeners, for people.
func (a *App) listening() []string {
	scheme := "https://"
	if a.cert == nil {
		scheme = "http://"
	}
	var out []string
	for i, l := range a.opts.Config.SIP.Listeners {
		out = append(out, "sip:"+a.sip.Addrs()[i].String()+";transport="+string(l.Transport))
	}
	out = append(out, scheme+a.HTTPSAddr().String(), "ws"+strings.TrimPrefix(scheme, "http")+a.HTTPSAddr().String()+"/sip")
	if a.operations != nil {
		out = append(out, "http://"+tcpAddr(a.operations).String())
	}
	return out
}

// makeFolders makes the folders of the state, for us alone.
func makeFolders(c *config.Config) error {
	for _, dir := range []string{c.Store.Dir, c.Keys.Dir} {
		if err := mkdir(dir); err != nil {
			return err
		}
	}
	return nil
}
