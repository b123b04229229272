package control

import (
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"bellhop/feed"
)

func nodeEndpoints() []endpoint {
	return []endpoint{
		{method: http.MethodGet, path: "/v1/node", id: "get-node", tag: "operation", summary: "How this node is", access: systemAdmin, out: typeOf[NodeStatus](), handle: (*Server).nodeStatus},
		{method: http.MethodPost, path: "/v1/node/reload", id: "reload", tag: "operation", summary: "Read the configuration again", access: systemAdmin, out: typeOf[ReloadReport](), handle: (*Server).reload},
		{method: http.MethodPost, path: "/v1/node/drain", id: "drain", tag: "operation", summary: "Refuse new calls; what is under way goes on", access: systemAdmin, out: typeOf[NodeStatus](), handle: (*Server).drain},
		{method: http.MethodPost, path: "/v1/node/undrain", id: "undrain", tag: "operation", summary: "Take new calls again", access: systemAdmin, out: typeOf[NodeStatus](), handle: (*Server).undrain},
		{method: http.MethodPut, path: "/v1/node/log", id: "set-log", tag: "operation", summary: "Change what is logged, for a time", access: systemAdmin, in: typeOf[logChange](), handle: (*Server).setLog},
		{method: http.MethodGet, path: "/healthz", id: "healthz", tag: "operation", summary: "Alive: asks no store", access: anyone, out: typeOf[health](), handle: (*Server).healthz},
		{method: http.MethodGet, path: "/readyz", id: "readyz", tag: "operation", summary: "Whether new calls are served here, and what is degraded", access: anyone, out: typeOf[health](), handle: (*Server).readyz},
		{method: http.MethodGet, path: "/metrics", id: "metrics", tag: "operation", summary: "Prometheus metrics", access: systemAdmin, media: "text/plain", handle: (*Server).metricsPage},
		{method: http.MethodGet, path: "/openapi.json", id: "openapi", tag: "operation", summary: "This document", access: anyone, media: "application/json", handle: (*Server).openapiPage},
		{method: http.MethodGet, path: "/docs", id: "docs", tag: "operation", summary: "This document for people", access: anyone, media: "text/html", handle: (*Server).docsPage},
	}
}

func (s *Server) nodeStatus(*request) (reply, error) {
	if s.opts.Node == nil {
		return reply{}, absent("status")
	}
	return reply{body: s.opts.Node.Status()}, nil
}

func (s *Server) reload(q *request) (reply, error) {
	if s.opts.Node == nil {
		return reply{}, absent("configuration to reload")
	}
	report, err := s.opts.Node.Reload(q.ctx())
	if err != nil {
		s.log.LogAttrs(q.ctx(), slog.LevelWarn, "reload refused", slog.Any("err", err))
		return reply{}, problem(http.StatusUnprocessableEntity, "config.invalid", "%v", err)
	}
	s.log.LogAttrs(q.ctx(), slog.LevelInfo, "reloaded", slog.String("by", q.who.name()))
	return reply{body: report}, nil
}

func (s *Server) drain(q *request) (reply, error) { return s.setDrain(q, true) }

func (s *Server) undrain(q *request) (reply, error) { return s.setDrain(q, false) }

// setDrain drains or not, and answers with how the node is then. Asking twice is
// no fault.
func (s *Server) setDrain(q *request, on bool) (reply, error) {
	if s.opts.Node == nil {
		return reply{}, absent("calls to drain")
	}
	set := s.opts.Node.Undrain
	if on {
		set = s.opts.Node.Drain
	}
	if err := set(q.ctx()); err != nil {
		return reply{}, problem(http.StatusConflict, "node.stopping", "the node stops; nothing else can be asked of it")
	}
	s.log.LogAttrs(q.ctx(), slog.LevelInfo, "drain changed", slog.String("by", q.who.name()), slog.Bool("draining", on))
	return reply{body: s.opts.Node.Status()}, nil
}

// logChange is the body of PUT /v1/node/log.
type logChange struct {
	Level string    `json:"level" enum:"debug,info,warn,error"`
	Match string    `json:"match,omitempty" doc:"only records that contain it are logged at that level"`
	Until time.Time `json:"until,omitzero" doc:"then it is as before; none: until the next reload"`
}

func (s *Server) setLog(q *request) (reply, error) {
	var in logChange
	if err := decodeStrict(q.body, &in); err != nil {
		return reply{}, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(in.Level)); err != nil {
		return reply{}, invalid(fault("level", "log.level", "debug, info, warn or error"))
	}
	if !in.Until.IsZero() && !in.Until.After(q.now) {
		return reply{}, invalid(fault("until", "log.until", "it is in the past"))
	}
	if s.opts.Node == nil {
		return reply{}, absent("log to change")
	}
	if err := s.opts.Node.SetLog(level, in.Match, in.Until); err != nil {
		return reply{}, problem(http.StatusUnprocessableEntity, "log.refused", "%v", err)
	}
	s.log.LogAttrs(q.ctx(), slog.LevelInfo, "log changed", slog.String("by", q.who.name()), slog.String("level", level.String()))
	return reply{status: http.StatusNoContent}, nil
}

// health is the answer of a probe.
type health struct {
	Status  string        `json:"status" enum:"alive,ready,degraded,unready"`
	Reasons []feed.Reason `json:"reasons,omitempty"`
}

func (s *Server) healthz(*request) (reply, error) { return reply{body: health{Status: "alive"}}, nil }

// readyz is 503 only when new calls cannot be served here (trust.md §3):
// degraded is 200 with reasons.
func (s *Server) readyz(*request) (reply, error) {
	h := health{Status: "ready"}
	if s.opts.Node == nil {
		return reply{body: h}, nil
	}
	st := s.opts.Node.Status()
	h.Reasons = st.Reasons
	switch {
	case !st.Ready:
		h.Status = "unready"
		return reply{status: http.StatusServiceUnavailable, body: h}, nil
	case len(st.Reasons) > 0:
		h.Status = "degraded"
	}
	return reply{body: h}, nil
}

func (s *Server) metricsHandler() http.Handler {
	if s.opts.Gatherer == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { problemOf(absent("metrics")).write(w) })
	}
	return promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)})
}

func (s *Server) metricsPage(q *request) (reply, error) {
	s.metricsHandler().ServeHTTP(q.w, q.http)
	return reply{}, nil
}

func (s *Server) openapiPage(q *request) (reply, error) {
	h := q.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-cache")
	_, err := q.w.Write(s.openapi)
	return reply{}, ignoreGone(err)
}

func (s *Server) docsPage(q *request) (reply, error) {
	h := q.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", docsPolicy)
	_, err := q.w.Write(s.docs)
	return reply{}, ignoreGone(err)
}

// ignoreGone drops the error of writing to a client that went away: nobody
// would read the answer to it.
func ignoreGone(error) error { return nil }

// operationsMux serves probes and metrics for a listener of their own.
func (s *Server) operationsMux() http.Handler {
	mux := http.NewServeMux()
	for _, e := range nodeEndpoints() {
		if e.path == "/healthz" || e.path == "/readyz" {
			mux.Handle(e.method+" "+e.path, s.serve(e))
		}
	}
	metrics := s.metricsHandler()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if s.opts.MetricsToken != "" {
			secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok || subtle.ConstantTimeCompare([]byte(hashOf(secret)), []byte(hashOf(s.opts.MetricsToken))) != 1 {
				unauthorized().write(w)
				return
			}
		}
		metrics.ServeHTTP(w, r)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { notFound().write(w) })
	return mux
}
