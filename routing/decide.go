package routing

// maxHops is how many forwards are followed in one call (forward.too-many).
const maxHops = 10

// Decide decides one visit in w. It returns the plan and how it came about, or
// what it lacks.
func Decide(w *World, v Visit) (Plan, Trace, Need) { return decide(w, v, nil) }

func decide(w *World, v Visit, buf Trace) (Plan, Trace, Need) {
	return Plan{Decision: Reject{Status: 404, Reason: "Not Found", Rule: "dial.unknown"}}, buf, Need{}
}
