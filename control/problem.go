package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"bellhop/routing/directory"
)

// A Problem is an error of the API (RFC 9457): Type is the name of the rule that
// was broken, and Errors name every field at fault.
type Problem struct {
	Type   string            `json:"type" doc:"name of the rule that was broken" example:"forward.loop-refused"`
	Title  string            `json:"title" doc:"the status in words"`
	Status int               `json:"status" doc:"HTTP status"`
	Detail string            `json:"detail,omitempty" doc:"what is wrong with this request"`
	Errors []directory.Fault `json:"errors,omitempty" doc:"every field at fault"`
	State  string            `json:"state,omitempty" doc:"of an action that cannot be done now: the state the call is in"`

	retry time.Duration // Retry-After, when the request may succeed later
	allow string        // Allow, for 405
}

// Error implements error.
func (p *Problem) Error() string { return p.Type + ": " + p.Detail }

// problem makes a Problem from a status, a rule and words for this request.
func problem(status int, rule, format string, args ...any) *Problem {
	return &Problem{Type: rule, Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// The problems that many places give.
func notFound() *Problem {
	return problem(http.StatusNotFound, "resource.unknown", "there is no such thing here")
}

func forbidden(format string, args ...any) *Problem {
	return problem(http.StatusForbidden, "role.denied", format, args...)
}

func fault(location, rule, message string) directory.Fault {
	return directory.Fault{Location: location, Message: message, Rule: rule}
}

// invalid is a refusal of fields: 422, its type the rule of the first.
func invalid(faults ...directory.Fault) error {
	return &directory.Invalid{Rule: faults[0].Rule, Faults: faults}
}

// problemOf is the one place that maps errors to HTTP statuses. An error that
// it does not know is a 500 that tells the caller nothing.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if inv, ok := errors.AsType[*directory.Invalid](err); ok {
		return invalidProblem(inv)
	}
	if big, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(http.StatusRequestEntityTooLarge, "body.too-large", "the body is larger than %d bytes", big.Limit)
	}
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return notFound()
	case errors.Is(err, directory.ErrVersion):
		return problem(http.StatusPreconditionFailed, "version.changed", "somebody else changed it first: read it again")
	case errors.Is(err, directory.ErrExists):
		return problem(http.StatusPreconditionFailed, "version.exists", "it exists already")
	case errors.Is(err, errBusy):
		p := problem(http.StatusServiceUnavailable, "session.busy", "too many passwords at once")
		p.retry = time.Second
		return p
	case errors.Is(err, context.DeadlineExceeded):
		p := problem(http.StatusServiceUnavailable, "store.slow", "the store did not answer in time")
		p.retry = time.Second
		return p
	case errors.Is(err, directory.ErrUnavailable):
		p := problem(http.StatusServiceUnavailable, "store.unavailable", "nothing was changed: the store cannot read or save now; the log has the reason")
		p.retry = 5 * time.Second
		return p
	case errors.Is(err, context.Canceled):
		return problem(statusClientGone, "request.cancelled", "the request was given up")
	default:
		return problem(http.StatusInternalServerError, "internal", "something went wrong here; the log knows more")
	}
}

// statusClientGone is logged for a client that went away; it never reads it.
const statusClientGone = 499

// invalidProblem renders a refusal of the directory. A name or number that is
// taken, or a thing that others still refer to, is a conflict.
func invalidProblem(inv *directory.Invalid) *Problem {
	status := http.StatusUnprocessableEntity
	p := &Problem{Type: inv.Rule, Status: status, Errors: inv.Faults}
	if p.Type == "" && len(inv.Faults) > 0 {
		p.Type = inv.Faults[0].Rule
	}
	switch p.Type {
	case directory.RuleTaken, directory.RuleInUse:
		p.Status = http.StatusConflict
	default:
	}
	p.Title = http.StatusText(p.Status)
	if len(inv.Faults) > 0 {
		p.Detail = inv.Faults[0].Message
	}
	return p
}

// write sends p.
func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Del("ETag")
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int((p.retry+time.Second-1)/time.Second))))
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	b, err := marshal(p)
	if err == nil {
		_, _ = w.Write(b) // a client that went away needs no answer
	}
}
