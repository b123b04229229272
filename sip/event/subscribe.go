package event

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

var errSlow = errors.New("event: store too slow")

// storeTimeout bounds how long a SUBSCRIBE or MESSAGE waits for the stores, well
// within Timer F of who sent it.
const storeTimeout = 5 * time.Second

// Knows reports whether a request belongs to a subscription that is here.
func (s *Server) Knows(m *wire.Message) bool {
	return s.subscription(m) != nil
}

func (s *Server) subscription(m *wire.Message) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subs[subKey{string(m.CallID()), string(m.ToTag())}]
	if sub == nil || sub.remoteTag != string(m.FromTag()) {
		return nil
	}
	return sub
}

// A subscribing is a SUBSCRIBE that is carried out.
type subscribing struct {
	s       *Server
	step    *step
	srv     *transaction.Server
	from    auth.From
	author  directory.Author
	target  string        // user part of the Request-URI
	sub     *subscription // nil: it makes a new one
	saved   saved         // as it will be
	pack    *pack
	expires time.Duration
	change  *FeatureChange
	state   *State
	line    *directory.Line
	turn    uint64
}

// A refusal is a final response that refuses a SUBSCRIBE.
type refusal struct {
	status int
	reason string
	lines  string
}

// Subscribe takes a SUBSCRIBE for a number: target is the user part of the
// Request-URI. It runs in a step of the lane, and answers now or later.
func (s *Server) Subscribe(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, from *auth.From, target string) {
	q := &subscribing{
		s: s, step: &step{ln, set}, srv: srv, from: *from, target: target,
		author: from.Author(srv.Request.Flow), sub: s.subscription(&srv.Request.Msg),
	}
	if r := q.read(); r.status != 0 {
		q.refuse(r)
		return
	}
	err := ln.Do(func(ctx context.Context) lane.Event {
		ctx, cancel := context.WithTimeoutCause(ctx, storeTimeout, errSlow)
		defer cancel()
		r := q.work(ctx)
		return lane.Continue(func() { q.finish(r) })
	})
	switch {
	case err != nil:
		q.refuse(refusal{503, "", "Retry-After: 5\r\n"})
	case q.sub != nil:
		q.sub.busy++ // a NOTIFY of what it changes comes after its 200
	}
}

// read checks what can be seen from the request alone, and prepares what the
// subscription will be.
func (q *subscribing) read() refusal {
	m := &q.srv.Request.Msg
	name, id, ok := eventOf(m)
	q.pack = q.s.packs[name]
	switch {
	case !ok || q.pack == nil:
		return refusal{489, "Bad Event", Allow} // RFC 6665 §4.2.1.1
	case m.Has(wire.Require):
		v, _ := m.Get(wire.Require)
		return refusal{420, "", string(wire.AppendLine(nil, "Unsupported", v.Bytes()))}
	case q.from.Origin != routing.OriginDevice || q.from.Domain != q.from.Caller.Domain:
		return refusal{status: 403}
	case len(m.ToTag()) > 0 && q.sub == nil:
		return refusal{status: 481}
	case !accepts(m, q.pack.contentType):
		return refusal{406, "", "Accept: " + q.pack.contentType + "\r\n"}
	}
	if r := q.readBody(m); r.status != 0 {
		return r
	}
	if r := q.readExpires(m); r.status != 0 {
		return r
	}
	if q.sub == nil {
		return q.readNew(m, id)
	}
	q.saved = q.sub.saved
	before := q.saved.RemoteSeq
	q.saved.RemoteSeq = m.CSeq()
	switch {
	case q.saved.Package != name || q.saved.EventID != id:
		return refusal{489, "Bad Event", Allow}
	case q.saved.Device != q.from.Caller.Device || q.saved.Domain != q.from.Domain:
		return refusal{status: 403}
	case m.CSeq() <= before: // RFC 3261 §12.2.2
		return refusal{500, "CSeq Out Of Order", "Retry-After: 1\r\n"}
	}
	if m.ContactURI() != nil {
		return q.readTarget(m)
	}
	return refusal{}
}

// readBody reads what a key of a phone asks for.
func (q *subscribing) readBody(m *wire.Message) refusal {
	body := m.Body()
	if len(bytes.TrimSpace(body)) == 0 {
		return refusal{}
	}
	v, _ := m.Get(wire.ContentType)
	kind, _, _ := bytes.Cut(v.Bytes(), []byte(";"))
	switch {
	case q.pack.name != packFeature:
		return refusal{} // a filter (RFC 4660), which may be ignored
	case !bytes.EqualFold(bytes.TrimSpace(kind), []byte(featureType)):
		return refusal{415, "", "Accept: " + featureType + "\r\n"}
	}
	c, err := ParseFeature(body)
	switch {
	case errors.Is(err, ErrFeatureUnknown): // the NOTIFY tells what there is
		return refusal{}
	case err != nil:
		return refusal{400, "Malformed Body", ""}
	}
	q.change = &c
	return refusal{}
}

func (q *subscribing) readExpires(m *wire.Message) refusal {
	q.expires = defaultExpires
	if n, ok := m.Expires(); ok {
		q.expires = time.Duration(n) * time.Second
	}
	if q.expires > 0 && q.expires < minExpires {
		return refusal{423, "", "Min-Expires: " + strconv.Itoa(int(minExpires/time.Second)) + "\r\n"}
	}
	q.expires = min(q.expires, maxExpires)
	return refusal{}
}

// readNew reads what makes the dialog (RFC 3261 §12.1.1).
func (q *subscribing) readNew(m *wire.Message, id string) refusal {
	from, to := uriOf(m, wire.From), uriOf(m, wire.To)
	if from == "" || to == "" || len(m.FromTag()) == 0 {
		return refusal{status: 400}
	}
	q.saved = saved{
		CallID: string(m.CallID()), RemoteTag: string(m.FromTag()), LocalURI: to, RemoteURI: from,
		LocalTag: string(q.s.o.Tags.Append(nil, m.CallID(), m.FromTag(), m.TopVia().Branch)),
		Package:  q.pack.name, EventID: id, Domain: q.from.Domain, Device: q.from.Caller.Device, Line: q.from.Caller.Number,
		Entity: entity(to), RemoteSeq: m.CSeq(),
	}
	for v := range m.All(wire.RecordRoute) {
		if len(q.saved.Routes) == maxRoutes || !oneLine(v.Bytes()) {
			return refusal{status: 400}
		}
		q.saved.Routes = append(q.saved.Routes, string(v.Bytes()))
	}
	return q.readTarget(m)
}

// maxRoutes bounds the route set of a subscription: devices speak to us directly,
// or through one proxy.
const maxRoutes = 8

// readTarget reads what a refresh may change: where NOTIFY goes.
func (q *subscribing) readTarget(m *wire.Message) refusal {
	contact := m.ContactURI()
	if contact == nil || !oneLine(contact) {
		return refusal{400, "Contact Missing", ""}
	}
	q.saved.Target = string(contact)
	q.saved.Side = q.s.o.Ends.CallerSide(q.srv.Request.Flow, &q.from)
	return refusal{}
}

// uriOf is the URI in a From or To.
func uriOf(m *wire.Message, f wire.Field) string {
	v, _ := m.Get(f)
	n, ok := wire.ParseNameAddr(v.Bytes())
	if !ok || !oneLine(n.URI) {
		return ""
	}
	return string(n.URI)
}

// entity is a URI as documents name whom they are about: without parameters.
func entity(uri string) string {
	u, ok := wire.ParseURI([]byte(uri))
	if !ok || len(u.Host) == 0 {
		return uri
	}
	return string(u.Scheme) + ":" + string(u.User) + "@" + string(u.Host)
}

// work does what may block: it reads the number, changes what a key asks for, and
// saves the subscription.
func (q *subscribing) work(ctx context.Context) refusal {
	s := q.s
	q.turn = s.turns.Add(1)
	var err error
	if q.sub == nil {
		q.line, err = s.find(ctx, q.from.Domain, q.target)
	} else {
		q.line, err = s.line(ctx, q.saved.Domain, q.saved.Number)
	}
	switch {
	case err != nil:
		s.log.WarnContext(ctx, "number of a subscription not read", "domain", q.from.Domain, "err", err)
		return refusal{503, "", "Retry-After: 5\r\n"}
	case q.line == nil:
		return refusal{status: 404}
	}
	q.saved.Number = q.line.Number
	own := (&State{Line: q.line}).owns(q.from.Caller.Device)
	if !q.pack.mayHave(own, !own && s.admin(ctx, &q.from)) {
		return refusal{status: 403}
	}
	if r := s.room(q); r.status != 0 {
		return r
	}
	if q.change != nil {
		q.edit(ctx)
	}
	now := time.Now()
	q.saved.Expires, q.saved.SavedAt = now.Add(q.expires), now
	q.state = s.observe(q.line, key{q.saved.Domain, q.saved.Number}, q.turn, now)
	if q.expires == 0 { // it only asks, or ends
		return refusal{}
	}
	if err := s.save(ctx, &q.saved); err != nil {
		s.metrics.unsaved.Inc()
		s.log.ErrorContext(ctx, "subscription not saved", "domain", q.saved.Domain, "device", q.saved.Device, "err", err)
		return refusal{500, "Not Saved", "Retry-After: 5\r\n"}
	}
	return refusal{}
}

// edit makes the change that a key asks for. One that is refused changes nothing:
// the NOTIFY that follows tells the phone how things are.
func (q *subscribing) edit(ctx context.Context) {
	s := q.s
	if s.o.Settings == nil || q.change.Kind == FeatureDND && q.line.User == "" {
		return
	}
	ref := q.change.ref(q.line)
	if err := s.o.Settings.Edit(ctx, q.author, ref, q.change.apply); err != nil {
		s.log.InfoContext(ctx, "key of a phone changed nothing", "domain", q.from.Domain, "device", q.from.Caller.Device, "setting", ref.Path(), "err", err)
		return
	}
	turn := s.turns.Add(1)
	if l, err := s.line(ctx, q.line.Domain, q.line.Number); err == nil && l != nil {
		q.line, q.turn = l, turn
	}
}

// admin reports whether a device belongs to an administrator of its domain.
func (s *Server) admin(ctx context.Context, from *auth.From) bool {
	l, err := s.line(ctx, from.Caller.Domain, from.Caller.Number)
	return err == nil && l != nil && l.Admin
}

// room says no when there are too many subscriptions.
func (s *Server) room(q *subscribing) refusal {
	if q.sub != nil || q.expires == 0 {
		return refusal{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watched.get(key{q.saved.Domain, q.saved.Number})
	switch {
	case len(s.subs) >= MaxSubscriptions:
		return refusal{503, "", "Retry-After: 60\r\n"}
	case len(s.devices[key{q.saved.Domain, q.saved.Device}]) >= maxPerDevice,
		w != nil && len(w.subs) >= maxPerNumber:
		return refusal{403, "Too Many Subscriptions", ""}
	default:
		return refusal{}
	}
}

// finish answers, and notifies at once (RFC 6665 §4.2.1.2).
func (q *subscribing) finish(r refusal) {
	if q.sub != nil {
		q.sub.busy--
	}
	if r.status != 0 {
		q.refuse(r)
		if q.sub != nil {
			q.sub.again(q.step)
		}
		return
	}
	s := q.s
	if q.sub != nil && q.sub.over { // meanwhile, of a timeout
		q.refuse(refusal{status: 481})
		return
	}
	seconds := strconv.Itoa(int(q.expires / time.Second))
	fresh := q.sub == nil
	if fresh {
		q.sub = newSubscription(s, q.pack, &q.saved)
	}
	was := &q.sub.saved // meanwhile
	q.saved.Seq, q.saved.RemoteSeq = max(was.Seq, q.saved.Seq), max(was.RemoteSeq, q.saved.RemoteSeq)
	q.sub.saved = q.saved
	q.reply(200, "", "Expires: "+seconds+"\r\nContact: <"+q.sub.contact(q.srv.ReplyFlow())+">\r\n")
	switch {
	case fresh && q.expires > 0:
		s.attach(q.sub)
	case fresh: // it asks once
		q.sub.w = &watched{key: key{q.saved.Domain, q.saved.Number}}
	}
	q.sub.fresh(q.step, q.state, q.expires == 0)
}

// refuse answers with another final response; lines are its own header lines.
func (q *subscribing) refuse(r refusal) { q.reply(r.status, r.reason, r.lines) }

func (q *subscribing) reply(status int, reason, lines string) {
	name := "other"
	if q.pack != nil {
		name = q.pack.name
	}
	q.s.metrics.requests.WithLabelValues(name, strconv.Itoa(status)).Inc()
	q.s.reply(q.srv, status, reason, lines)
}

// reply sends a final response of ours.
func (s *Server) reply(srv *transaction.Server, status int, reason, lines string) {
	if srv.Request == nil {
		return
	}
	if reason == "" {
		reason = wire.ReasonPhrase(status)
	}
	m := &srv.Request.Msg
	var room [32]byte
	tag := s.o.Tags.Append(room[:0], m.CallID(), m.FromTag(), m.TopVia().Branch)
	buf := s.o.Transactions.Buffer()
	*buf = transaction.AppendReply(*buf, srv.Request, status, reason, tag, []byte(lines))
	srv.Send(status, *buf)
	s.o.Transactions.Release(buf)
}
