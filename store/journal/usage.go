package journal

import (
	"slices"
	"sync"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/dial"
)

// A ledger counts what the limits of external calls ask about: for numbers,
// domains ("") and trunks. Calls that stay inside cost it nothing. Minutes are
// counted on the day (UTC) on which a leg ends; [Journal.AddMinutes] adds those
// before a restart.
type ledger struct {
	mu    sync.Mutex
	marks map[ledgerKey]*mark // guarded by mu
}

type ledgerKey struct{ domain, key string }

// A mark is what one key has in use.
type mark struct {
	external  int
	forwarded int
	ringing   []string // callers of legs that settings sent out
	attempts  [60]attempts
	day       int64 // of talked, in days since 1970
	talked    [2]talk
	callBack  time.Time // until when calls back after an emergency call get through
}

// attempts are those of one second.
type attempts struct {
	second int64 // since 1970
	n      int
}

// A talk is the time talked to a kind of destination: by legs that ended today,
// and by those that go on, as their number and the sum of their beginnings.
type talk struct {
	ended time.Duration
	live  int
	since int64 // in seconds since 1970
}

// The kinds of destinations whose minutes count.
const (
	international = iota
	premium
)

func metered(kind string) (int, bool) {
	switch kind {
	case dial.International.String():
		return international, true
	case dial.Premium.String():
		return premium, true
	default:
		return 0, false
	}
}

// outside reports whether a call has to do with other networks at all.
func outside(c *feed.Call) bool {
	return c.CallerDev == "" || slices.ContainsFunc(c.Legs, func(l feed.Leg) bool { return l.Trunk != "" })
}

// change takes that a call became another: was is nil for one that begins, is for
// one that is over.
func (g *ledger) change(was, is *feed.Call) {
	if is != nil && len(is.Emergency) > 0 {
		g.callBack(is.Domain, is.Emergency, is.Started.Add(routing.CallBackTime))
	}
	before, after := was != nil && outside(was), is != nil && outside(is)
	if !before && !after {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if before {
		g.weigh(was, -1)
	}
	if after {
		g.weigh(is, +1)
		g.meter(was, is)
	}
}

// ended takes the record of a call that was last as was.
func (g *ledger) ended(was, is *feed.Call) {
	if len(is.Emergency) > 0 {
		g.callBack(is.Domain, is.Emergency, is.EndedAt.Add(routing.CallBackTime))
	}
	if was == nil || !outside(is) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.meter(was, is)
}

// callBack lets calls back to numbers of a domain through until a time.
func (g *ledger) callBack(domain string, numbers []string, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range numbers {
		if m := g.mark(domain, n); n != "" && until.After(m.callBack) {
			m.callBack = until
		}
	}
}

func (g *ledger) mark(domain, key string) *mark {
	k := ledgerKey{domain, key}
	m := g.marks[k]
	if m == nil {
		if g.marks == nil {
			g.marks = make(map[ledgerKey]*mark)
		}
		m = new(mark)
		g.marks[k] = m
	}
	return m
}

// weigh adds a live call n times, or takes it out for -1.
func (g *ledger) weigh(c *feed.Call, n int) {
	var numbers []string // each counts a call once
	count := func(number string) {
		if number != "" && !slices.Contains(numbers, number) {
			numbers = append(numbers, number)
			g.mark(c.Domain, number).external += n
		}
	}
	if c.CallerDev == "" {
		count(c.Number)
		g.mark(c.Domain, "").external += n
	}
	out := false
	for i := range c.Legs {
		l := &c.Legs[i]
		if l.Trunk == "" || l.State == feed.Ended {
			continue
		}
		g.mark(c.Domain, routing.TrunkKey(l.Trunk)).external += n
		if l.Caller {
			continue
		}
		out = true
		count(l.By)
		g.sent(c, l, n)
	}
	if out && c.CallerDev != "" {
		g.mark(c.Domain, "").external += n
	}
}

// sent adds a leg by a trunk.
func (g *ledger) sent(c *feed.Call, l *feed.Leg, n int) {
	m := g.mark(c.Domain, l.By)
	if c.CallerDev == "" || l.By != c.Caller { // a setting sent it, not who calls
		if l.Remote == "" {
			m.forwarded += n
		}
		if l.State != feed.Talking {
			m.rings(c.Caller, n)
		}
	}
	k, ok := metered(l.Kind)
	if !ok || l.State != feed.Talking || l.AnsweredAt.IsZero() {
		return
	}
	for _, m := range [...]*mark{m, g.mark(c.Domain, "")} {
		t := &m.talked[k]
		t.live += n
		t.since += int64(n) * l.AnsweredAt.Unix()
	}
}

func (m *mark) rings(caller string, n int) {
	if n > 0 {
		m.ringing = append(m.ringing, caller)
	} else if i := slices.Index(m.ringing, caller); i >= 0 {
		m.ringing = slices.Delete(m.ringing, i, i+1)
	}
}

// meter counts what happened between was, which may be nil, and is: attempts to
// call out, and legs that ended.
func (g *ledger) meter(was, is *feed.Call) {
	for i := range is.Legs {
		l := &is.Legs[i]
		if l.Trunk == "" || l.Caller {
			continue
		}
		var old *feed.Leg
		if was != nil && i < len(was.Legs) {
			old = &was.Legs[i]
		}
		marks := [...]*mark{g.mark(is.Domain, l.By), g.mark(is.Domain, "")}
		if old == nil {
			for _, m := range marks {
				m.attempt(l.Started)
			}
		}
		k, ok := metered(l.Kind)
		if !ok || l.State != feed.Ended || l.AnsweredAt.IsZero() || old != nil && old.State == feed.Ended {
			continue
		}
		for _, m := range marks {
			m.today(l.EndedAt)
			m.talked[k].ended += l.EndedAt.Sub(l.AnsweredAt)
		}
	}
}

func (m *mark) attempt(at time.Time) {
	s := at.Unix()
	a := &m.attempts[((s%60)+60)%60]
	if a.second != s {
		*a = attempts{second: s}
	}
	a.n++
}

// today begins another day when it is one.
func (m *mark) today(now time.Time) {
	if day := dayOf(now); day > m.day {
		m.day = day
		for k := range m.talked {
			m.talked[k].ended = 0
		}
	}
}

// usage returns what a key has in use.
func (g *ledger) usage(domain, key string, now time.Time) (u routing.Usage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.marks[ledgerKey{domain, key}]
	if m == nil {
		return routing.Usage{}
	}
	m.today(now)
	for _, a := range m.attempts {
		if age := now.Unix() - a.second; age >= 0 && age < 60 {
			u.Attempts += a.n
		}
	}
	u.External, u.Forwarded, u.Ringing = m.external, m.forwarded, slices.Clone(m.ringing)
	u.CallBack = m.callBack
	u.International, u.Premium = m.talked[international].until(now), m.talked[premium].until(now)
	return u
}

// until is the time talked until now.
func (t *talk) until(now time.Time) time.Duration {
	return t.ended + time.Duration(max(0, int64(t.live)*now.Unix()-t.since))*time.Second
}

// forget drops the marks that say nothing any more.
func (g *ledger) forget(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, m := range g.marks {
		m.today(now)
		recent := slices.ContainsFunc(m.attempts[:], func(a attempts) bool { return now.Unix()-a.second < 60 })
		if m.external == 0 && m.talked == [2]talk{} && !recent && !m.callBack.After(now) {
			delete(g.marks, k)
		}
	}
}
