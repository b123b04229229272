package event

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/wire"
)

// A subscription is one dialog of ours as a notifier. What has no comment changes
// in steps of its lane only.
type subscription struct {
	s         *Server     // fixed, as all up to w
	pack      *pack       //
	callID    string      //
	remoteTag string      //
	w         *watched    //
	waits     atomic.Bool // stands in Server.retry

	saved    saved
	over     bool
	state    *State        // that the last SUBSCRIBE saw
	current  *notification // without a final response; nil: none is
	busy     int           // SUBSCRIBEs that are carried out
	pending  bool          // look again after it
	force    bool          // the next NOTIFY goes out whatever it says
	ending   string        // the reason to end with, after the NOTIFY under way
	waiting  bool          // the device cannot be reached: until it registers
	known    bool          // the subscriber has what was sent last
	hash     uint64        // of what was sent last; 0: nothing
	shown    []Dialog
	features []Feature

	tat   time.Time  // when all was in time that was sent (the generic cell rate algorithm)
	timer lane.Timer // of a NOTIFY that was held back
	held  bool
	soon  time.Time // when it is looked at next; zero: never
}

// saved is what outlives the process of a subscription.
type saved struct {
	CallID    string    `json:"call_id"`
	LocalTag  string    `json:"local_tag"`
	RemoteTag string    `json:"remote_tag"`
	LocalURI  string    `json:"local_uri"`
	RemoteURI string    `json:"remote_uri"`
	Target    string    `json:"target"`
	Routes    []string  `json:"routes,omitempty"`
	Side      auth.Side `json:"side"` // where NOTIFY goes
	Package   string    `json:"package"`
	EventID   string    `json:"event_id,omitempty"`
	Entity    string    `json:"entity"` // whom documents say that they are about
	Domain    string    `json:"domain"`
	Number    string    `json:"number"` // that is watched
	Device    string    `json:"device"` // that watches
	Line      string    `json:"line"`   // its number
	RemoteSeq uint32    `json:"remote_seq"`
	Seq       uint32    `json:"seq"` // of the last NOTIFY
	SavedAt   time.Time `json:"saved_at"`
	Expires   time.Time `json:"expires"`
}

func newSubscription(s *Server, p *pack, v *saved) *subscription {
	return &subscription{s: s, pack: p, callID: v.CallID, remoteTag: v.RemoteTag, saved: *v}
}

// subscriptionKind is the kind of the subscriptions of a node in the store.
func subscriptionKind(node uint8) string { return "subscription/" + strconv.Itoa(int(node)) }

// gone is the row that deletes a subscription.
func (v *saved) gone(kind string) feed.Kept {
	return feed.Kept{Kind: kind, ID: v.LocalTag, Domain: v.Domain, Number: v.Number}
}

// save saves a subscription; it blocks until that is done.
func (s *Server) save(ctx context.Context, v *saved) error {
	if s.o.Store == nil {
		return nil
	}
	row := v.gone(s.kind)
	row.Expires = v.Expires
	var err error
	if row.Body, err = json.Marshal(v); err != nil {
		return err
	}
	return s.saver.save(ctx, row)
}

// attach puts a subscription into the tables: from now on it is told what happens.
func (s *Server) attach(sub *subscription) {
	v := &sub.saved
	s.mu.Lock()
	defer s.mu.Unlock()
	at := key{v.Domain, v.Number}
	sub.w = s.watched.get(at)
	if sub.w == nil || len(sub.w.subs) == 0 { // one without is on its way out
		sub.w = &watched{key: at, subs: make(map[*subscription]bool)}
		s.watched.put(at, sub.w)
	}
	sub.w.subs[sub] = true
	s.subs[subKey{v.CallID, v.LocalTag}] = sub
	dev := key{v.Domain, v.Device}
	if s.devices[dev] == nil {
		s.devices[dev] = make(map[*subscription]bool)
	}
	s.devices[dev][sub] = true
	s.count.Add(1)
	s.queue.touch(sub.w)
}

// detach takes a subscription out of the tables; it reports whether it was there.
func (s *Server) detach(sub *subscription) bool {
	v := &sub.saved
	id := subKey{v.CallID, v.LocalTag}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs[id] != sub {
		return false
	}
	delete(s.subs, id)
	s.count.Add(-1)
	dev := key{v.Domain, v.Device}
	if delete(s.devices[dev], sub); len(s.devices[dev]) == 0 {
		delete(s.devices, dev)
	}
	if delete(sub.w.subs, sub); len(sub.w.subs) == 0 {
		s.watched.drop(sub.w.key, func(w *watched) bool { return w == sub.w })
		s.queue.touch(sub.w) // the looker takes it out of its indexes
	}
	return true
}

// Restore takes up the subscriptions that an earlier process of this node saved, and
// sees which numbers have messages. Each subscriber is notified of how things are now, as soon as its device can be reached.
func (s *Server) Restore(ctx context.Context) error {
	if s.o.Store == nil {
		return nil
	}
	now := time.Now()
	n := 0
	err := s.o.Store.Kept(ctx, s.kind, "", "", func(r feed.Kept) error {
		var v saved
		p := (*pack)(nil)
		if json.Unmarshal(r.Body, &v) == nil {
			p = s.packs[v.Package]
		}
		if p == nil || !now.Before(v.Expires) || len(s.subs) >= MaxSubscriptions {
			r.Body = nil
			s.saver.later(r)
			return nil
		}
		v.resume(now)
		sub := newSubscription(s, p, &v)
		sub.force = true
		s.attach(sub)
		s.later(sub)
		n++
		return nil
	})
	if n > 0 {
		s.log.InfoContext(ctx, "subscriptions restored", "count", n)
	}
	_, messages := s.countMessages(ctx)
	return errors.Join(err, messages)
}

// Between two times that a subscription is saved, it sends at most one NOTIFY a
// second and a few more ([interval], [burst]); beyond that many, numbers are those
// of nobody.
const (
	resumeRate  = 16
	resumeSlack = 1024
)

// resume makes sure that the next NOTIFY has a greater number than the last one, of
// which nothing is saved, and clamps what a clock that was set back granted.
func (v *saved) resume(now time.Time) {
	elapsed := max(0, now.Sub(v.SavedAt))
	v.Seq += resumeSlack + resumeRate*uint32(min(elapsed/time.Second, 1<<24))
	v.SavedAt = now
	if most := now.Add(maxExpires); v.Expires.After(most) {
		v.Expires = most
	}
}

// contact is our URI in a subscription, over a flow.
func (sub *subscription) contact(flow location.Flow) string {
	at := sub.s.o.Network.Advertise(flow.Local)
	return "sip:" + string(wire.AppendEscapedUser(nil, sub.saved.Number)) + "@" + at.String() + auth.TransportParam(flow.Transport)
}

// flow finds the device: where it registered last, else where the SUBSCRIBE came
// from.
func (sub *subscription) flow() (location.Flow, bool) {
	v := &sub.saved
	if f, ok := sub.s.o.Ends.Find(v.Side, v.Domain, []byte(v.Target)); ok {
		return f, true
	}
	line := auth.Side{Kind: auth.Line, Name: v.Line, Mark: auth.MarkOf(v.Device, "")}
	return sub.s.o.Ends.Find(line, v.Domain, []byte(v.Target))
}

// schedule has the subscription looked at when it expires.
func (sub *subscription) schedule() {
	if at := sub.saved.Expires; sub.soon.IsZero() || at.Before(sub.soon) {
		sub.soon = at
		sub.s.at(at, func() { sub.s.post(sub, (*subscription).due) })
	}
}

// due looks whether the subscription is over.
func (sub *subscription) due(st *step) {
	sub.soon = time.Time{}
	sub.look(st)
}

// look looks whether the subscription is over, or has something to tell.
func (sub *subscription) look(st *step) {
	switch {
	case sub.over:
	case !time.Now().Before(sub.saved.Expires):
		sub.end(st, "timeout")
	default:
		sub.schedule()
		sub.s.queue.touch(sub.w)
		sub.flush(st)
	}
}

// fresh notifies of what the SUBSCRIBE saw: the first time, refreshed, or, with bye,
// for the last time.
func (sub *subscription) fresh(st *step, state *State, bye bool) {
	sub.state = state
	sub.force, sub.known, sub.waiting = true, false, false
	if bye {
		sub.end(st, "timeout") // RFC 6665 §4.1.2.3
		return
	}
	sub.schedule()
	sub.s.queue.touch(sub.w)
	sub.flush(st)
}

// end ends the subscription with a last NOTIFY that says why (RFC 6665 §4.1.3), after
// the one that is under way; reason "" without one.
func (sub *subscription) end(st *step, reason string) {
	switch {
	case sub.over:
		return
	case sub.current != nil && reason != "":
		sub.ending = cmp.Or(sub.ending, reason)
		return
	}
	if reason != "" {
		sub.last(st, reason)
	}
	sub.drop(cmp.Or(reason, "refused"))
}

// drop forgets the subscription.
func (sub *subscription) drop(reason string) {
	if sub.over {
		return
	}
	sub.over, sub.current = true, nil
	if !sub.s.detach(sub) {
		return // it only asked
	}
	sub.s.metrics.ended.WithLabelValues(reason).Inc()
	if sub.s.o.Store != nil {
		sub.s.saver.later(sub.saved.gone(sub.s.kind))
	}
}
