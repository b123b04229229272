package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
)

const eventStream = "text/event-stream"

// Limits of event streams.
const (
	maxStreams    = 512              // open at once
	streamBatch   = 256              // events written before a flush
	keepAlive     = 20 * time.Second // between comments on a silent stream
	streamLife    = time.Hour        // then the client comes again, and is authenticated again
	streamTimeout = 10 * time.Second // for one write
)

// errSlowClient ends a stream whose client does not read.
var errSlowClient = fmt.Errorf("control: the client does not read its events")

// events streams what happens, scoped to who asks. A client that comes again
// with Last-Event-ID goes on where it was; when that is too long ago, or of
// another run, the stream begins with the event reset, and the client reads
// anew what it shows.
func (s *Server) events(q *request) (reply, error) {
	if s.opts.Feed == nil {
		return reply{}, absent("events")
	}
	if s.openStreams.Add(1) > maxStreams {
		s.openStreams.Add(-1)
		s.metrics.limited.WithLabelValues("streams").Inc()
		p := problem(http.StatusServiceUnavailable, "events.full", "too many event streams")
		p.retry = 5 * time.Second
		return reply{}, p
	}
	defer s.openStreams.Add(-1)
	scope, err := s.newScope(q)
	if err != nil {
		return reply{}, err
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()

	h := q.w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("X-Accel-Buffering", "no")
	q.w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithTimeout(q.ctx(), streamLife)
	defer cancel()
	q.http = q.http.WithContext(ctx)
	st := &stream{w: q.w, rc: http.NewResponseController(q.w), hub: s.hub, scope: scope}
	if err := st.rc.SetReadDeadline(time.Time{}); err != nil { // nothing more is read
		return reply{}, ignoreGone(err)
	}
	st.start(q.http.Header.Get("Last-Event-ID"), s.metrics.lost.Inc)
	return reply{}, ignoreGone(s.follow(q, st))
}

// follow writes events until the client, the session or the daemon ends.
func (s *Server) follow(q *request, st *stream) error {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		moved, err := st.flush(q, s.metrics.lost.Inc)
		if err != nil {
			return err
		}
		select {
		case <-moved:
		case <-tick.C:
			// A session that was revoked meanwhile ends its stream.
			if _, err := s.authenticate(q.http, time.Now()); err != nil {
				return err
			}
			st.text(": alive\n\n")
		case <-s.stopping:
			return nil
		case <-q.ctx().Done():
			return nil
		}
	}
}

// A stream is one client that follows the hub.
type stream struct {
	w     io.Writer
	rc    *http.ResponseController
	hub   *hub
	scope *scope
	at    uint64
	buf   []feed.Event
	out   []byte
}

func (st *stream) text(s string) { st.out = append(st.out, s...) }

// start finds the position of the client.
func (st *stream) start(lastID string, lost func()) {
	st.text("retry: 2000\n\n")
	if lastID == "" {
		st.at = st.hub.end()
		return
	}
	var resumed bool
	if st.at, resumed = st.hub.position(lastID); !resumed {
		lost()
		st.reset()
	}
}

// reset tells the client that it missed events.
func (st *stream) reset() {
	st.out = fmt.Appendf(st.out, "id: %s\nevent: reset\ndata: {}\n\n", st.hub.id(st.at-1))
}

// flush writes all events that wait, and returns what is closed when there are
// more.
func (st *stream) flush(q *request, lost func()) (<-chan struct{}, error) {
	for {
		evs, first, missed, moved := st.hub.read(st.buf[:0], st.at, streamBatch)
		st.buf = evs
		st.at = first
		if missed {
			lost()
			st.reset()
		}
		for i, ev := range evs {
			st.at = first + uint64(i) + 1
			if err := st.event(q, first+uint64(i), ev); err != nil {
				return nil, err
			}
		}
		if err := st.send(); err != nil {
			return nil, err
		}
		if len(evs) < streamBatch {
			return moved, nil
		}
	}
}

// event appends one event that the scope lets through.
func (st *stream) event(q *request, id uint64, ev feed.Event) error {
	name, data, err := st.scope.view(q, ev)
	if err != nil || data == nil {
		return err
	}
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	st.out = fmt.Appendf(st.out, "id: %s\nevent: %s\ndata: %s\n\n", st.hub.id(id), name, b)
	return nil
}

// send writes what was appended, each write with its own deadline: the server's
// would end the stream.
func (st *stream) send() error {
	if len(st.out) == 0 {
		return nil
	}
	if err := st.rc.SetWriteDeadline(time.Now().Add(streamTimeout)); err != nil {
		return err
	}
	_, err := st.w.Write(st.out)
	st.out = st.out[:0]
	if err == nil {
		err = st.rc.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errSlowClient, err)
	}
	return nil
}

// A scope is what of the events somebody may see: a system-admin all, a
// domain-admin those of the domain, a user those of their own numbers, devices
// and settings.
type scope struct {
	s       *Server
	who     *principal
	filter  string // a system-admin may ask for one domain
	kinds   []string
	own     // of a user
	devices []string
}

// newScope reads what a user owns. It is read again when that may have changed.
func (s *Server) newScope(q *request) (*scope, error) {
	sc := &scope{s: s, who: q.who, filter: strings.ToLower(q.query("domain"))}
	if k := q.query("kinds"); k != "" {
		sc.kinds = strings.Split(k, ",")
	}
	return sc, sc.load(q)
}

func (sc *scope) load(q *request) (err error) {
	if sc.who.role != directory.RoleUser {
		return nil
	}
	if sc.numbers, err = sc.s.owned(q, directory.KindNumber); err != nil {
		return err
	}
	if sc.phones, err = sc.s.phones(q); err != nil {
		return err
	}
	sc.devices, err = sc.s.owned(q, directory.KindDevice)
	return err
}

// domain reports whether events of a domain are in scope at all.
func (sc *scope) domain(domain string) bool {
	if sc.who.role == directory.RoleSystemAdmin {
		return sc.filter == "" || sc.filter == domain
	}
	return domain == sc.who.domain
}

// view returns the name of an event and what this client sees of it; nil data:
// nothing.
func (sc *scope) view(q *request, ev feed.Event) (name string, data any, err error) {
	switch ev := ev.(type) {
	case feed.CallChanged:
		name, data = "call", sc.call(ev.Call)
	case feed.RegistrationChanged:
		name, data = "registration", sc.registration(ev)
	case feed.SettingChanged:
		name = "setting"
		data, err = sc.setting(q, ev)
	default:
		return "", nil, nil // an event that this version does not show
	}
	if sc.kinds != nil && !slices.Contains(sc.kinds, name) {
		return "", nil, err
	}
	return name, data, err
}

func (sc *scope) call(c *feed.Call) any {
	if !sc.domain(c.Domain) {
		return nil
	}
	v, ok := sc.s.viewCall(c, sc.who, &sc.own)
	if !ok {
		return nil
	}
	return v
}

// A registrationEvent is a binding that came, moved or went.
type registrationEvent struct {
	At        time.Time `json:"at"`
	Domain    string    `json:"domain"`
	Number    string    `json:"number"`
	Device    string    `json:"device"`
	What      string    `json:"what"`
	Contact   string    `json:"contact,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Source    string    `json:"source,omitempty"`
}

func (sc *scope) registration(ev feed.RegistrationChanged) any {
	if !sc.domain(ev.Domain) || sc.who.role == directory.RoleUser && !slices.Contains(sc.numbers, ev.Number) {
		return nil
	}
	v := registrationEvent{At: ev.At, Domain: ev.Domain, Number: ev.Number, Device: ev.Device, What: ev.What, UserAgent: ev.UserAgent, Contact: ev.Contact}
	if ev.Source.IsValid() {
		v.Source = ev.Source.String()
	}
	return v
}

// A settingEvent is a document that was written or deleted; who wants to know
// what is in it reads it.
type settingEvent struct {
	At      time.Time `json:"at"`
	Domain  string    `json:"domain,omitempty"`
	Kind    string    `json:"kind"`
	Name    string    `json:"name"`
	Version uint64    `json:"version"`
	Deleted bool      `json:"deleted,omitempty"`
	Actor   string    `json:"actor,omitempty"`
}

func (sc *scope) setting(q *request, ev feed.SettingChanged) (any, error) {
	kind := directory.Kind(ev.Kind)
	domain := ev.Domain
	if kind == directory.KindDomain {
		domain = ev.Name
	}
	if hiddenKind(kind) || !sc.domain(domain) {
		return nil, nil
	}
	if sc.who.role == directory.RoleUser {
		mine, err := sc.owns(q, kind, ev.Name)
		if err != nil || !mine {
			return nil, err
		}
	}
	return settingEvent{At: ev.At, Domain: ev.Domain, Kind: ev.Kind, Name: ev.Name, Version: ev.Version, Deleted: ev.Deleted, Actor: ev.Actor}, nil
}

// hiddenKind reports whether nobody hears of changes of a kind.
func hiddenKind(kind directory.Kind) bool {
	return slices.Contains([]directory.Kind{
		directory.KindCredential, directory.KindTrunkKey, directory.KindSignIn, directory.KindPIN, directory.KindActivation,
	}, kind)
}

// owns reports whether a document is the user's own. A change of a number or
// device may also make it so or end that.
func (sc *scope) owns(q *request, kind directory.Kind, name string) (bool, error) {
	switch kind {
	case directory.KindRemote:
		if user, _ := directory.SplitRemote(name); user != sc.who.user {
			return false, nil
		}
		return true, sc.load(q)
	case directory.KindUser, directory.KindDND, directory.KindPresence, directory.KindPresenceTo, directory.KindCallMe:
		return name == sc.who.user, nil
	case directory.KindForwarding:
		return slices.Contains(sc.numbers, name), nil
	case directory.KindSpeedDial:
		device, _ := directory.SplitRemote(name)
		return slices.Contains(sc.devices, device), nil
	case directory.KindNumber, directory.KindDevice:
		had := slices.Contains(sc.numbers, name) || slices.Contains(sc.devices, name)
		if err := sc.load(q); err != nil {
			return false, err
		}
		return had || slices.Contains(sc.numbers, name) || slices.Contains(sc.devices, name), nil
	case directory.KindDomain, directory.KindSite, directory.KindGroup, directory.KindTrunk, directory.KindClass,
		directory.KindCredential, directory.KindTrunkKey, directory.KindSignIn, directory.KindPIN, directory.KindActivation, directory.KindChange:
		return false, nil
	default:
		return false, nil
	}
}
