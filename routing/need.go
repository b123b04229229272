package routing

import (
	"errors"
	"fmt"
	"slices"

	"bellhop/routing/directory"
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
	NeedUsage             // Key is an extension, "" for the whole domain, or "trunk:" and the name of a trunk: PutUsage
	NeedIdle              // Key is an extension: PutIdle
	NeedCaller            // Key is an E.164 number outside: PutCaller
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
	case NeedUsage:
		return "usage"
	case NeedIdle:
		return "idle"
	case NeedCaller:
		return "caller"
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

// TrunkKey is the key of the usage of a trunk.
func TrunkKey(trunk string) string { return trunkPrefix + trunk }

const trunkPrefix = "trunk:"

// maxLoads bounds [Resolve]: forty numbers (the caller's, the called one, ten
// forwards, and what their settings and remote destinations name) and the members
// of a group, a few of them with remote destinations, eight kinds of things each.
// A decision that lacks more is a fault of ours.
const maxLoads = (40 + 4*directory.MaxMembers) * 8

// ErrUnresolved reports a decision that never had enough.
var ErrUnresolved = errors.New("routing: unresolved")

// Resolve decides v in w, has load put what the decision lacks into w, and
// decides again. It is the only loop that does, for live calls and for those
// explained. load may put more than it was asked for: a store that has to go
// far brings all that one number needs at once. An error of load ends it, and so
// does a decision that never has enough ([ErrUnresolved]).
func Resolve(w *World, v Visit, load func(Need, *World) error) (Plan, Trace, error) {
	for range maxLoads {
		plan, trace, need := decide(w, &v, w.trace[:0])
		w.trace = trace
		if need == (Need{}) {
			return plan, slices.Clone(trace), nil
		}
		if err := load(need, w); err != nil {
			return Plan{}, nil, fmt.Errorf("routing: load %s: %w", need, err)
		}
		if !w.has(need) {
			return Plan{}, nil, fmt.Errorf("routing: load %s: %w", need, ErrUnresolved)
		}
	}
	return Plan{}, nil, ErrUnresolved
}
