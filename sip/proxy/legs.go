package proxy

import (
	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// A pair is the two ends of an answered call as the journal keeps them, in one
// piece of memory: every call is written down with it.
type pair struct {
	legs    [2]feed.Leg
	dialogs [2]feed.Dialog
}

// An ended is a call that is over, with its legs.
type ended struct {
	call feed.Call
	legs [2]feed.Leg
}

// legsOf says what it takes to end an answered call from outside: BYE to each end
// in the name of the other (trust.md §3). req is the caller's INVITE and res the 2xx.
func (x *Proxy) legsOf(l *feed.Call, req, res *wire.Message, caller, callee location.Flow) []feed.Leg {
	from, to := nameAddr(req, wire.From), nameAddr(req, wire.To)
	near, far := req.ContactURI(), res.ContactURI()
	text := string(append(append(append(append(make([]byte, 0, len(from)+len(to)+len(near)+len(far)), from...), to...), near...), far...))
	cut := func(n int) (s string) { s, text = text[:n], text[n:]; return s }
	fromText, toText, nearText, farText := cut(len(from)), cut(len(to)), cut(len(near)), cut(len(far))
	p := new(pair)
	p.legs[0] = feed.Leg{Caller: true, Number: l.Caller, Device: l.CallerDev, State: l.State, Status: l.Status, Started: l.Started, AnsweredAt: l.AnsweredAt, Dialog: &p.dialogs[0]}
	p.legs[1] = feed.Leg{Number: l.Number, Device: l.Device, State: l.State, Status: l.Status, Started: l.Started, AnsweredAt: l.AnsweredAt, Dialog: &p.dialogs[1]}
	p.dialogs[0] = feed.Dialog{
		CallID: l.CallID, LocalTag: l.CalleeTag, RemoteTag: l.CallerTag, LocalURI: toText, RemoteURI: fromText, Target: nearText,
		Transport: uint8(caller.Transport), Local: caller.Local, Remote: caller.Remote,
	}
	p.dialogs[1] = feed.Dialog{
		CallID: l.CallID, LocalTag: l.CallerTag, RemoteTag: l.CalleeTag, LocalURI: fromText, RemoteURI: toText, Target: farText,
		Transport: uint8(callee.Transport), Local: callee.Local, Remote: callee.Remote,
	}
	for v := range req.All(wire.RecordRoute) {
		p.dialogs[0].Routes = append(p.dialogs[0].Routes, string(v.Bytes()))
	}
	for _, r := range x.routesBehind(res) {
		p.dialogs[1].Routes = append(p.dialogs[1].Routes, string(r))
	}
	return p.legs[:] // who appends to it copies it
}

// nameAddr is a From or To as a request of ours has it: without parameters.
func nameAddr(m *wire.Message, f wire.Field) []byte {
	v, _ := m.Get(f)
	b := v.Bytes()
	n, ok := wire.ParseNameAddr(b)
	if !ok {
		return nil
	}
	return b[:len(b)-len(n.Params)]
}
