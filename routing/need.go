package routing

import (
	"errors"
	"fmt"
)

// A NeedKind is a kind of thing that a decision may lack.
type NeedKind uint8

// The kinds of needs, with what the loader puts into the world.
const (
	NeedNothing  NeedKind = iota
	NeedDomain            // Key is a host: PutDomain
	NeedNumber            // Key is an extension or an E.164 number: PutNumber
	NeedUser              // Key is a user's name: PutUser
	NeedDevice            // Key is an authorization name: PutDevice
	NeedBindings          // Key is an extension: PutBindings
	NeedCalls             // Key is an extension: PutCalls
)

// String returns the kind as logs and metrics spell it.
func (k NeedKind) String() string {
	switch k {
	case NeedNothing:
		return "nothing"
	case NeedDomain:
		return "domain"
	case NeedNumber:
		return "number"
	case NeedUser:
		return "user"
	case NeedDevice:
		return "device"
	case NeedBindings:
		return "bindings"
	case NeedCalls:
		return "calls"
	default:
		return "unknown"
	}
}

// A Need is what a decision lacks in its world. The zero Need lacks nothing.
type Need struct {
	Kind   NeedKind
	Domain string // canonical name; "" for NeedDomain
	Key    string
}

// String returns "kind domain/key".
func (n Need) String() string { return n.Kind.String() + " " + n.Domain + "/" + n.Key }

// maxRounds bounds [Resolve]: a decision that lacks more is a fault of ours.
const maxRounds = 12

// ErrUnresolved reports a decision that never had enough.
var ErrUnresolved = errors.New("routing: unresolved")

// Resolve decides v in w, has load put what the decision lacks into w, and
// decides again. It is the only loop that does, for live calls and for those
// explained. load may put more than it was asked for. An error of load ends it;
// so does a thirteenth round ([ErrUnresolved]).
func Resolve(w *World, v Visit, load func(Need, *World) error) (Plan, Trace, error) {
	var buf Trace
	for range maxRounds {
		plan, trace, need := decide(w, &v, buf)
		if need == (Need{}) {
			return plan, trace, nil
		}
		buf = trace[:0]
		if err := w.fill(need, &v, load); err != nil {
			return Plan{}, nil, err
		}
	}
	return Plan{}, nil, ErrUnresolved
}

// fill loads what is needed, and in the same round the numbers that a chain of
// forward.all leads on to: a chain is one round, not eleven.
func (w *World) fill(need Need, v *Visit, load func(Need, *World) error) error {
	for range maxHops + 1 {
		if err := load(need, w); err != nil {
			return fmt.Errorf("routing: load %s: %w", need, err)
		}
		if !w.has(need) {
			return fmt.Errorf("routing: load %s: %w", need, ErrUnresolved)
		}
		if need.Kind != NeedNumber || need.Key == v.Caller.Number {
			return nil
		}
		line, _ := w.number(need.Domain, need.Key)
		if line == nil {
			return nil
		}
		f := line.All.Of(v.internal(need.Domain))
		if !f.On || f.Target.Number.Ext == "" {
			return nil
		}
		need.Key = f.Target.Number.Ext
		if w.has(need) {
			return nil
		}
	}
	return nil
}
