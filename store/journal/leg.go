package journal

import (
	"encoding/binary"
	"math"
	"time"

	"bellhop/feed"
)

// maxLegs bounds the legs that are kept of one call, maxRoutes the route set
// and the Via values of one.
const (
	maxLegs   = 64
	maxRoutes = 32
)

// appendLegs writes what segmentFormat 2 has more than 1: why the call is
// anchored, and its legs.
func appendLegs(b []byte, c *feed.Call) []byte {
	b = appendString(b, c.Anchored)
	legs := c.Legs[:min(len(c.Legs), maxLegs)]
	b = binary.AppendUvarint(b, uint64(len(legs)))
	for i := range legs {
		l := &legs[i]
		flags := byte(0)
		if l.Caller {
			flags |= 1
		}
		if l.Dialog != nil {
			flags |= 2
		}
		b = append(b, flags, byte(l.State))
		for _, s := range [...]string{l.Number, l.Device, l.Trunk, l.Remote, l.Identity} {
			b = appendString(b, s)
		}
		b = binary.AppendUvarint(b, uint64(max(l.Status, 0)))
		for _, t := range [...]time.Time{l.Started, l.AnsweredAt, l.EndedAt} {
			b = appendTime(b, t)
		}
		if l.Dialog != nil {
			b = appendDialog(b, l.Dialog)
		}
	}
	return b
}

// appendSenders writes what segmentFormat 4 has more than 3: who sent a leg out,
// and to what kind of destination.
func appendSenders(b []byte, c *feed.Call) []byte {
	for i := range c.Legs[:min(len(c.Legs), maxLegs)] {
		b = appendString(b, c.Legs[i].By)
		b = appendString(b, c.Legs[i].Kind)
	}
	return b
}

// senders reads what appendSenders wrote.
func (r *reader) senders(c *feed.Call) {
	for i := range c.Legs {
		c.Legs[i].By, c.Legs[i].Kind = r.string(), r.string()
	}
}

// appendHomes writes what segmentFormat 5 has more than 4: where the ends of the
// dialogs are at home.
func appendHomes(b []byte, c *feed.Call) []byte {
	for i := range c.Legs[:min(len(c.Legs), maxLegs)] {
		if d := c.Legs[i].Dialog; d != nil {
			b = appendString(b, d.Home)
		}
	}
	return b
}

// homes reads what appendHomes wrote.
func (r *reader) homes(c *feed.Call) {
	for i := range c.Legs {
		if d := c.Legs[i].Dialog; d != nil {
			d.Home = r.string()
		}
	}
}

func appendDialog(b []byte, d *feed.Dialog) []byte {
	for _, s := range [...]string{d.CallID, d.LocalTag, d.RemoteTag, d.LocalURI, d.RemoteURI, d.Target} {
		b = appendString(b, s)
	}
	for _, list := range [...][]string{d.Routes, d.Vias} {
		list = list[:min(len(list), maxRoutes)]
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, s := range list {
			b = appendString(b, s)
		}
	}
	b = binary.AppendUvarint(b, uint64(d.LocalSeq))
	b = binary.AppendUvarint(b, uint64(d.RemoteSeq))
	b = binary.AppendUvarint(b, d.Branch)
	flags := byte(0)
	if d.Refresher {
		flags |= 1
	}
	if d.Update {
		flags |= 2
	}
	b = append(b, d.Transport, flags)
	b = appendAddr(b, d.Local)
	b = appendAddr(b, d.Remote)
	b = binary.AppendUvarint(b, uint64(max(d.Interval, 0)/time.Second))
	b = appendString(b, d.SDPType)
	b = appendString(b, d.SDP)
	return appendTime(b, d.Refreshed)
}

// legs reads what appendLegs wrote.
func (r *reader) legs(c *feed.Call) {
	c.Anchored = r.string()
	for range r.count() {
		var l feed.Leg
		flags := r.byte()
		l.Caller = flags&1 != 0
		l.State = feed.CallState(r.byte())
		for _, p := range [...]*string{&l.Number, &l.Device, &l.Trunk, &l.Remote, &l.Identity} {
			*p = r.string()
		}
		l.Status = int(r.uvarint() & 0xffff)
		for _, p := range [...]*time.Time{&l.Started, &l.AnsweredAt, &l.EndedAt} {
			*p = r.time()
		}
		if flags&2 != 0 {
			l.Dialog = r.dialog()
		}
		if r.bad {
			return
		}
		c.Legs = append(c.Legs, l)
	}
}

func (r *reader) dialog() *feed.Dialog {
	d := new(feed.Dialog)
	for _, p := range [...]*string{&d.CallID, &d.LocalTag, &d.RemoteTag, &d.LocalURI, &d.RemoteURI, &d.Target} {
		*p = r.string()
	}
	for _, p := range [...]*[]string{&d.Routes, &d.Vias} {
		for range r.count() {
			*p = append(*p, r.string())
		}
	}
	d.LocalSeq, d.RemoteSeq = uint32(r.uvarint()), uint32(r.uvarint()) //nolint:gosec // cut to what it was
	d.Branch = r.uvarint()
	d.Transport = r.byte()
	flags := r.byte()
	d.Refresher, d.Update = flags&1 != 0, flags&2 != 0
	d.Local, d.Remote = r.addr(), r.addr()
	d.Interval = time.Duration(min(r.uvarint(), math.MaxUint32)) * time.Second
	d.SDPType, d.SDP = r.string(), r.string()
	d.Refreshed = r.time()
	return d
}

// byte reads one byte.
func (r *reader) byte() byte {
	if s := r.take(1); s != "" {
		return s[0]
	}
	return 0
}
