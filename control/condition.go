package control

import (
	"net/http"
	"strings"

	"bellhop/routing/directory"
)

// A condition is what If-Match and If-None-Match ask of a write (RFC 9110 §13).
type condition struct {
	matchAny bool                // If-Match: *
	match    []directory.Version // If-Match: "1.7", ...
	none     bool                // If-None-Match: *
	given    bool                // there is an If-Match field
}

// conditionOf reads the condition of a write. An entity tag that is weak or not
// ours matches nothing, which is a failed precondition and not a bad request.
func conditionOf(r *http.Request) (condition, error) {
	var c condition
	if inm := r.Header.Values("If-None-Match"); len(inm) > 0 {
		if strings.TrimSpace(strings.Join(inm, ",")) != "*" {
			return c, problem(http.StatusBadRequest, "condition.unknown", "If-None-Match on a write takes * only")
		}
		c.none = true
	}
	values := r.Header.Values("If-Match")
	if len(values) == 0 {
		return c, nil
	}
	c.given = true
	for tag := range strings.SplitSeq(strings.Join(values, ","), ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			c.matchAny = true
			continue
		}
		if len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' {
			continue
		}
		if v, ok := directory.ParseVersion(tag[1 : len(tag)-1]); ok {
			c.match = append(c.match, v)
		}
	}
	return c, nil
}

// check compares the condition with what is there now; version zero: nothing.
// settings exist always, with their defaults as version 0.0.
func (c condition) check(now directory.Version, settings bool) error {
	exists := !now.IsZero()
	if c.none && exists {
		return directory.ErrExists
	}
	if !c.given || c.matchAny && (exists || settings) {
		return nil
	}
	for _, v := range c.match {
		if v == now && (exists || settings) {
			return nil
		}
	}
	return directory.ErrVersion
}

// write makes the write of a document whose state is now: it holds only while
// that state does.
func (c condition) write(ref directory.Ref, now directory.Version, body []byte) directory.Write {
	return directory.Write{Ref: ref, Body: body, IfMatch: now, Create: now.IsZero() && body != nil}
}

// noneMatch reports whether a read names the entity tag in If-None-Match.
func noneMatch(r *http.Request, etag string) bool {
	for tag := range strings.SplitSeq(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || tag == `"`+etag+`"` {
			return true
		}
	}
	return false
}
