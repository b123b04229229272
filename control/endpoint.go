package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/netip"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"bellhop/routing/directory"
)

// An endpoint is one operation of the API. The router serves it and the OpenAPI
// document describes it from the same value, so that neither can forget it.
type endpoint struct {
	method, path string
	id           string // operationId
	tag          string
	summary      string
	access       access
	in           reflect.Type // body of the request, nil: none
	takes        string       // media type of a request that is a file; "": application/json
	out          reflect.Type // body of the answer, nil: none
	query        []param
	status       int    // of success; 0: 200
	media        string // media type of the answer; "": application/json
	patch        bool   // the body is a JSON merge patch
	conditional  bool   // takes If-Match and answers with ETag
	handle       func(*Server, *request) (reply, error)
}

// A param is a query parameter.
type param struct{ Name, Doc, Example string }

// A request is what a handler gets: who asks, for what, and the body.
type request struct {
	http *http.Request
	w    http.ResponseWriter
	who  *principal // nil on endpoints that everyone may call
	now  time.Time
	body []byte
	with []directory.Write // made in the same transaction: the end of the change that this is
}

func (q *request) ctx() context.Context { return q.http.Context() }

// path returns a path value in the form that the directory keeps.
func (q *request) path(name string) string { return q.http.PathValue(name) }

func (q *request) query(name string) string { return q.http.URL.Query().Get(name) }

// author is who a change is recorded under.
func (q *request) author() directory.Author {
	return directory.Author{Actor: q.who.name(), From: peerAddr(q.http).String()}
}

// A reply is what a handler answers with.
type reply struct {
	status int
	body   any
	etag   string
	header http.Header
	// computed says that the body has more in it than what the entity tag is of:
	// it is always sent.
	computed bool
}

// peerAddr is the address of the client. Forwarded fields mean nothing here: a
// listener behind a balancer takes them from the PROXY protocol.
func peerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// routes builds the mux from the endpoints.
func (s *Server) routes(es []endpoint) http.Handler {
	mux := http.NewServeMux()
	allow := map[string][]string{}
	for _, e := range es {
		allow[e.path] = append(allow[e.path], e.method)
		mux.Handle(e.method+" "+e.path, s.serve(e))
	}
	for path, methods := range allow {
		methods := strings.Join(methods, ", ")
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			p := problem(http.StatusMethodNotAllowed, "method.unknown", "this takes %s", methods)
			p.allow = methods
			p.write(w)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { notFound().write(w) })
	return mux
}

// serve runs one endpoint: admission, body, handler, answer, metrics.
func (s *Server) serve(e endpoint) http.Handler {
	m := s.metrics.route(e)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		sw := &statusWriter{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				s.panicked(sw, r, v)
			}
			m.observe(sw.status, time.Since(start))
		}()
		rep, err := s.run(e, sw, r, start)
		switch {
		case err != nil:
			s.refuse(sw, r, err)
		case sw.status == 0:
			s.answer(sw, r, e, rep)
		default: // the handler wrote by itself
		}
	})
}

func (s *Server) run(e endpoint, w http.ResponseWriter, r *http.Request, now time.Time) (reply, error) {
	q := &request{http: r, w: w, now: now}
	if e.access != anyone {
		who, err := s.authenticate(r, now)
		if err != nil {
			return reply{}, err
		}
		q.who = who
		if err := e.access.admit(e, q); err != nil {
			return reply{}, err
		}
	}
	if e.in != nil {
		read := func() ([]byte, error) { return readBody(w, r, e.patch) }
		if e.takes != "" {
			read = func() ([]byte, error) { return readFile(w, r, e.takes) }
		}
		body, err := read()
		if err != nil {
			return reply{}, err
		}
		q.body = body
	}
	return e.handle(s, q)
}

// readBody reads the body of at most [maxBody] bytes and checks that it is the
// media type the endpoint takes. The media type also keeps simple cross-origin
// forms out.
func readBody(w http.ResponseWriter, r *http.Request, patch bool) ([]byte, error) {
	mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mt != "application/json" && (!patch || mt != "application/merge-patch+json") {
		return nil, problem(http.StatusUnsupportedMediaType, "body.media-type", "send application/json")
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, err
		}
		return nil, problem(http.StatusBadRequest, "body.read", "the body could not be read")
	}
	return b, nil
}

// refuse answers with the problem of err. What is our fault is logged.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		s.log.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("method", r.Method), slog.String("route", r.Pattern), slog.Int("status", p.Status), slog.Any("err", err))
	}
	p.write(w)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, e endpoint, rep reply) {
	h := w.Header()
	maps.Copy(h, rep.header)
	if rep.etag != "" {
		h.Set("ETag", `"`+rep.etag+`"`)
	}
	status := rep.status
	if status == 0 {
		status = e.success()
	}
	if rep.etag != "" && !rep.computed && r.Method == http.MethodGet && noneMatch(r, rep.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if rep.body == nil {
		w.WriteHeader(status)
		return
	}
	b, err := marshal(rep.body)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that went away needs no answer
}

// marshal renders an answer. Nobody puts it into HTML, so "->" stays readable.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// success is the status of an answer without faults.
func (e endpoint) success() int {
	switch {
	case e.status != 0:
		return e.status
	case e.out == nil && e.media == "":
		return http.StatusNoContent
	default:
		return http.StatusOK
	}
}

// panicked ends one request, never the daemon.
func (s *Server) panicked(w *statusWriter, r *http.Request, v any) {
	if v == http.ErrAbortHandler { //nolint:errorlint // a recovered value, not an error chain
		panic(v)
	}
	s.metrics.panics.Inc()
	s.log.LogAttrs(r.Context(), slog.LevelError, "panic in a request",
		slog.String("method", r.Method), slog.String("route", r.Pattern), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	if w.status == 0 {
		problem(http.StatusInternalServerError, "internal", "something went wrong here; the log knows more").write(w)
	}
}

// A statusWriter remembers the status that was sent.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// typeOf is the type of a body.
func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }
