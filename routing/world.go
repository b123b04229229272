package routing

import (
	"time"

	"bellhop/routing/directory"
	"bellhop/routing/ring"
)

// A World is what a decision may depend on, as far as it was loaded. Its values
// are compiled and immutable; the lists are short and searched in order. The
// zero World is empty and ready; [World.Reset] makes a used one empty again and
// keeps its memory. It is not safe for concurrent use while it is filled.
type World struct {
	Now time.Time

	domains  []domainEntry
	numbers  []numberEntry
	names    []nameEntry
	bindings []bindingsEntry
	calls    []callsEntry
	usage    []usageEntry
	idle     []idleEntry

	trace Trace // room for [Resolve]
}

type (
	domainEntry struct {
		host   string
		tenant *directory.Tenant
	}
	numberEntry struct {
		domain, key string
		line        *directory.Line
	}
	nameEntry struct {
		kind                 NeedKind // NeedUser, NeedDevice or NeedCaller
		domain, name, number string
	}
	bindingsEntry struct {
		domain, number string
		targets        []ring.Target
		nat            bool
		elsewhere      bool // other nodes have more
	}
	callsEntry struct {
		domain, number string
		n              int
	}
	idleEntry struct {
		domain, number string
		since          time.Time
	}
	usageEntry struct {
		domain, key string
		usage       Usage
	}
)

// A Usage is what a number, a domain or a trunk has of the things that rules
// limit.* and forward.external-loop count. The call that is decided may be in it
// from its second visit on.
type Usage struct {
	External      int           // external calls that ring or talk
	Attempts      int           // outgoing external calls of the last minute
	International time.Duration // talked today
	Premium       time.Duration // talked today
	Forwarded     int           // of a number: legs by a trunk that its settings sent out, ringing or talking
	Ringing       []string      // of a number: the first callers of those of them that ring
	CallBack      time.Time     // of a number: until when calls back after an emergency call get through
}

// NewWorld returns an empty world at a time.
func NewWorld(now time.Time) *World { return &World{Now: now} }

// Reset empties w and sets its time.
func (w *World) Reset(now time.Time) {
	clear(w.domains)
	clear(w.numbers)
	clear(w.names)
	clear(w.bindings)
	clear(w.calls)
	clear(w.usage)
	clear(w.idle)
	clear(w.trace)
	*w = World{now, w.domains[:0], w.numbers[:0], w.names[:0], w.bindings[:0], w.calls[:0], w.usage[:0], w.idle[:0], w.trace[:0]}
}

// PutDomain says which domain answers for a host (see [directory.Host]); nil
// for none.
func (w *World) PutDomain(host string, t *directory.Tenant) {
	w.domains = append(w.domains, domainEntry{host, t})
}

// PutNumber says what an extension or E.164 number of a domain is; nil for
// nothing.
func (w *World) PutNumber(domain, key string, l *directory.Line) {
	w.numbers = append(w.numbers, numberEntry{domain, key, l})
}

// PutUser says what the main number of a user is, or the number of the group of
// that name; "" when there is neither, or without a number.
func (w *World) PutUser(domain, user, number string) {
	w.names = append(w.names, nameEntry{NeedUser, domain, user, number})
}

// PutDevice says what the first line of a device is; "" when there is no such
// device or it has none.
func (w *World) PutDevice(domain, device, number string) {
	w.names = append(w.names, nameEntry{NeedDevice, domain, device, number})
}

// PutCaller says what the main number of the user is whose remote destination a
// number outside is; "" when it is nobody's, or that of several.
func (w *World) PutCaller(domain, e164, number string) {
	w.names = append(w.names, nameEntry{NeedCaller, domain, e164, number})
}

// Caller returns what PutCaller put.
func (w *World) Caller(domain, e164 string) string {
	number, _ := w.name(NeedCaller, domain, e164)
	return number
}

// PutBindings says where the devices of a number are: the bindings of its AOR
// that have not expired, as targets, best q first, and whether any of them is
// behind NAT (its Contact differs from its source). The World keeps targets;
// nobody may change them.
func (w *World) PutBindings(domain, number string, targets []ring.Target, nat bool) {
	w.bindings = append(w.bindings, bindingsEntry{domain: domain, number: number, targets: targets, nat: nat})
}

// PutCalls says how many calls of a number ring, are being made or talk.
func (w *World) PutCalls(domain, number string, n int) {
	w.calls = append(w.calls, callsEntry{domain, number, n})
}

// PutIdle says when the last answered call of a number ended; the zero time: that
// is not known, so long ago.
func (w *World) PutIdle(domain, number string, since time.Time) {
	w.idle = append(w.idle, idleEntry{domain, number, since})
}

// PutUsage says what an extension, a whole domain ("") or a trunk ([TrunkKey])
// has in use. The World keeps u.Ringing; nobody may change it.
func (w *World) PutUsage(domain, key string, u Usage) {
	w.usage = append(w.usage, usageEntry{domain, key, u})
}

// Named returns the number that was put for a user, a device or a caller; "" for
// none.
func (w *World) Named(n Need) string {
	number, _ := w.name(n.Kind, n.Domain, n.Key)
	return number
}

// Number returns a number of a domain if it was put into w, by its extension or
// the key it was asked for; nil otherwise.
func (w *World) Number(domain, key string) *directory.Line {
	l, _ := w.number(domain, key)
	return l
}

func (w *World) domain(host string) (*directory.Tenant, bool) {
	for i := range w.domains {
		if e := &w.domains[i]; e.host == host || e.tenant != nil && e.tenant.Name == host {
			return e.tenant, true
		}
	}
	return nil, false
}

func (w *World) number(domain, key string) (*directory.Line, bool) {
	for i := range w.numbers {
		if e := &w.numbers[i]; e.domain == domain && (e.key == key || e.line != nil && e.line.Number == key) {
			return e.line, true
		}
	}
	return nil, false
}

func (w *World) name(kind NeedKind, domain, name string) (string, bool) {
	for i := range w.names {
		if e := &w.names[i]; e.kind == kind && e.domain == domain && e.name == name {
			return e.number, true
		}
	}
	return "", false
}

func (w *World) bound(domain, number string) (*bindingsEntry, bool) {
	for i := range w.bindings {
		if e := &w.bindings[i]; e.domain == domain && e.number == number {
			return e, true
		}
	}
	return nil, false
}

func (w *World) live(domain, number string) (int, bool) {
	for i := range w.calls {
		if e := &w.calls[i]; e.domain == domain && e.number == number {
			return e.n, true
		}
	}
	return 0, false
}

func (w *World) idleSince(domain, number string) (time.Time, bool) {
	for i := range w.idle {
		if e := &w.idle[i]; e.domain == domain && e.number == number {
			return e.since, true
		}
	}
	return time.Time{}, false
}

func (w *World) used(domain, key string) (*Usage, bool) {
	for i := range w.usage {
		if e := &w.usage[i]; e.domain == domain && e.key == key {
			return &e.usage, true
		}
	}
	return nil, false
}

// has reports whether a need is met.
func (w *World) has(n Need) (ok bool) {
	switch n.Kind {
	case NeedNothing:
		ok = true
	case NeedDomain:
		_, ok = w.domain(n.Key)
	case NeedNumber:
		_, ok = w.number(n.Domain, n.Key)
	case NeedUser, NeedDevice, NeedCaller:
		_, ok = w.name(n.Kind, n.Domain, n.Key)
	case NeedBindings:
		_, ok = w.bound(n.Domain, n.Key)
	case NeedCalls:
		_, ok = w.live(n.Domain, n.Key)
	case NeedUsage:
		_, ok = w.used(n.Domain, n.Key)
	case NeedIdle:
		_, ok = w.idleSince(n.Domain, n.Key)
	default:
		panic("routing: unknown need " + n.Kind.String())
	}
	return ok
}

// An Answer is what the directory says to a need: one field for each kind, zero
// for what there is not. It never changes.
type Answer struct {
	Tenant *directory.Tenant // to NeedDomain
	Line   *directory.Line   // to NeedNumber
	Number string            // to NeedUser, NeedDevice and NeedCaller
}

// Compile answers a need from a view of the directory: of domains, numbers, users,
// devices and callers. It reports false for bindings, calls, usage and idle times, which no
// directory holds.
func Compile(view directory.View, need Need) (a Answer, ok bool, err error) {
	switch need.Kind {
	case NeedDomain:
		a.Tenant, _, err = directory.LoadTenant(view, need.Key)
	case NeedNumber:
		t, found, terr := directory.LoadDomain(view, need.Domain)
		if terr != nil || !found {
			return a, true, terr
		}
		a.Line, _, err = directory.LoadLine(view, t, need.Key)
	case NeedUser:
		a.Number, _, err = directory.LoadUser(view, need.Domain, need.Key)
	case NeedDevice:
		a.Number, _, err = directory.LoadDevice(view, need.Domain, need.Key)
	case NeedCaller:
		user, cerr := directory.LoadCaller(view, need.Domain, need.Key)
		if cerr != nil || user == "" {
			return a, true, cerr
		}
		a.Number, _, err = directory.LoadUser(view, need.Domain, user)
	case NeedNothing, NeedBindings, NeedCalls, NeedUsage, NeedIdle:
		return a, false, nil
	default:
		panic("routing: unknown need " + need.Kind.String())
	}
	return a, true, err
}

// Put puts the answer to a need into w. It panics for a need that no directory
// answers.
func (w *World) Put(need Need, a Answer) {
	switch need.Kind {
	case NeedDomain:
		w.PutDomain(need.Key, a.Tenant)
	case NeedNumber:
		w.PutNumber(need.Domain, need.Key, a.Line)
	case NeedUser:
		w.PutUser(need.Domain, need.Key, a.Number)
	case NeedDevice:
		w.PutDevice(need.Domain, need.Key, a.Number)
	case NeedCaller:
		w.PutCaller(need.Domain, need.Key, a.Number)
	case NeedNothing, NeedBindings, NeedCalls, NeedUsage, NeedIdle:
		panic("routing: no answer to " + need.Kind.String())
	default:
		panic("routing: unknown need " + need.Kind.String())
	}
}
