package control

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/routing/explain"
)

// A callView is a call as its viewer may see it. A caller does not learn which
// number or device answered in the callee's place, nor by which rule.
type callView struct {
	ID           string    `json:"id"`
	Domain       string    `json:"domain"`
	Direction    string    `json:"direction,omitempty" enum:"in,out" doc:"for a user: whether they called or were called"`
	Caller       string    `json:"caller"`
	CallerDevice string    `json:"caller_device,omitempty"`
	Called       string    `json:"called"`
	Number       string    `json:"number,omitempty" doc:"the number that rang"`
	Device       string    `json:"device,omitempty" doc:"the device that answered"`
	State        string    `json:"state" enum:"calling,ringing,talking,ended"`
	Started      time.Time `json:"started"`
	AnsweredAt   time.Time `json:"answered_at,omitzero"`
	EndedAt      time.Time `json:"ended_at,omitzero"`
	Status       int       `json:"status,omitempty" doc:"final SIP status"`
	Outcome      string    `json:"outcome,omitempty"`
	Rule         string    `json:"rule,omitempty" doc:"the rule that decided"`
	CallID       string    `json:"call_id,omitempty" doc:"SIP Call-ID, for administrators"`
	Anchored     string    `json:"anchored,omitempty" doc:"why its legs are dialogs of ours; for administrators"`
	Emergency    bool      `json:"emergency,omitempty" doc:"a call for help (dial.emergency)"`
	Legs         []legView `json:"legs,omitempty" doc:"the ends of a call, the caller's first: of a proxied one since it was answered"`
	Actions      []string  `json:"actions" doc:"what a client may ask for now"`
}

// viewCall renders a call for who asks; false: it is none of theirs. o may be
// nil only for an administrator.
func (s *Server) viewCall(c *feed.Call, who *principal, o *own) (callView, bool) {
	if who.admin(c.Domain) {
		o = nil
	}
	v := callView{
		ID: c.ID, Domain: c.Domain, Caller: c.Caller, CallerDevice: c.CallerDev, Called: c.Called, Number: c.Number, Device: c.Device,
		State: c.State.String(), Started: c.Started, AnsweredAt: c.AnsweredAt, EndedAt: c.EndedAt, Status: c.Status, Outcome: c.Outcome,
		Rule: c.Rule, CallID: c.CallID, Anchored: c.Anchored, Emergency: len(c.Emergency) > 0,
	}
	if o == nil {
		v.Legs, v.Actions = viewLegs(c, nil), s.actions(c, nil)
		return v, true
	}
	if who.domain != c.Domain {
		return v, false
	}
	v.CallID, v.Anchored = "", ""
	v.Legs, v.Actions = viewLegs(c, o), s.actions(c, o)
	numbers := o.numbers
	out := slices.Contains(numbers, c.Caller)
	in := slices.Contains(numbers, c.Called) || c.Number != "" && slices.Contains(numbers, c.Number)
	switch {
	case in:
		v.Direction = "in"
		if !out {
			v.CallerDevice = ""
		}
		if !slices.Contains(numbers, c.Number) {
			v.Device = ""
		}
	case out:
		v.Direction, v.Number, v.Device, v.Rule = "out", "", "", ""
	default:
		return v, false
	}
	return v, true
}

// A stepView is one step of a story, in words.
type stepView struct {
	feed.Step
	Text string `json:"text"`
}

// storyView renders a story for its viewer: administrators see all of it, others
// what is public or about settings of their own.
func storyView(c *feed.Call, q *request, language string) []stepView {
	admin := q.who.admin(c.Domain)
	reader := explain.Reader{Viewer: explain.Viewer{Admin: admin, User: q.who.user}}
	out := make([]stepView, 0, len(c.Story)+1)
	for _, st := range wholeStory(c) {
		e := entry(st)
		if !reader.Sees(e) {
			continue
		}
		if !admin {
			st.Level, st.Owner = feed.NoLevel, ""
		}
		out = append(out, stepView{Step: st, Text: explain.Words(e, language)})
	}
	return out
}

// callDomain is the domain of a request about calls, and what it is limited to:
// nil for an administrator, what is one's own otherwise.
func (s *Server) callDomain(q *request) (domain string, o *own, err error) {
	domain = strings.ToLower(q.path("domain"))
	mine := domain == ""
	if mine {
		domain = q.who.domain
	}
	if !mine && q.who.admin(domain) {
		return domain, nil, nil
	}
	o = &own{}
	if o.numbers, err = s.owned(q, directory.KindNumber); err != nil {
		return "", nil, err
	}
	o.phones, err = s.phones(q)
	return domain, o, err
}

func (s *Server) liveCalls(q *request) (reply, error) {
	if s.opts.Calls == nil {
		return reply{}, absent("calls")
	}
	domain, o, err := s.callDomain(q)
	if err != nil {
		return reply{}, err
	}
	out := list[callView]{Items: []callView{}}
	for _, c := range s.opts.Calls.Live(domain) {
		if o != nil && !o.involves(c) {
			continue
		}
		if v, ok := s.viewCall(c, q.who, o); ok {
			out.Items = append(out.Items, v)
		}
	}
	slices.SortFunc(out.Items, func(a, b callView) int { return strings.Compare(b.ID, a.ID) })
	limit, cursor, err := page(q)
	if err != nil {
		return reply{}, err
	}
	if cursor != "" {
		out.Items = slices.DeleteFunc(out.Items, func(v callView) bool { return v.ID >= cursor })
	}
	if len(out.Items) > limit {
		out.Items = out.Items[:limit]
		out.Next = out.Items[limit-1].ID
	}
	return reply{body: out}, nil
}

// find looks for a call among the live ones, then among the records.
func (s *Server) find(q *request) (*feed.Call, *own, error) {
	domain, o, err := s.callDomain(q)
	if err != nil {
		return nil, nil, err
	}
	id := q.path("id")
	if s.opts.Calls != nil {
		if c, ok := s.opts.Calls.ByID(id); ok && c.Domain == domain && (o == nil || o.involves(c)) {
			return c, o, nil
		}
	}
	if s.opts.Records == nil {
		return nil, nil, notFound()
	}
	c, err := s.opts.Records.Record(q.ctx(), domain, id)
	if err != nil {
		return nil, nil, err
	}
	if c.Domain != domain || o != nil && !o.involves(c) {
		return nil, nil, notFound()
	}
	return c, o, nil
}

// A callDetail is a call with its story.
type callDetail struct {
	callView
	Story []stepView `json:"story"`
}

func (s *Server) oneCall(q *request) (reply, error) {
	c, o, err := s.find(q)
	if err != nil {
		return reply{}, err
	}
	v, ok := s.viewCall(c, q.who, o)
	if !ok {
		return reply{}, notFound()
	}
	return reply{body: callDetail{v, storyView(c, q, s.language(q))}}, nil
}

// A story is how a call came to be what it was.
type story struct {
	ID    string     `json:"id"`
	Steps []stepView `json:"steps"`
}

func (s *Server) callStory(q *request) (reply, error) {
	c, _, err := s.find(q)
	if err != nil {
		return reply{}, err
	}
	return reply{body: story{c.ID, storyView(c, q, s.language(q))}}, nil
}

// A ladder is the SIP messages of a call.
type ladder struct {
	ID       string         `json:"id"`
	Messages []feed.Message `json:"messages" doc:"oldest first; the last messages of the node are kept in a ring, older ones are gone"`
}

func (s *Server) callLadder(q *request) (reply, error) {
	if s.opts.Ladder == nil {
		return reply{}, absent("ladder")
	}
	c, _, err := s.find(q)
	if err != nil {
		return reply{}, err
	}
	return reply{body: ladder{c.ID, s.opts.Ladder.Ladder(c)}}, nil
}

func (s *Server) records(q *request) (reply, error) {
	if s.opts.Records == nil {
		return reply{}, absent("records")
	}
	f, err := recordFilter(q)
	if err != nil {
		return reply{}, err
	}
	domain, o, err := s.callDomain(q)
	if err != nil {
		return reply{}, err
	}
	if o != nil {
		f.Numbers = slices.DeleteFunc(slices.Clone(o.numbers), func(n string) bool { return f.Numbers != nil && !slices.Contains(f.Numbers, n) })
		if len(f.Numbers) == 0 {
			return reply{body: list[callDetail]{Items: []callDetail{}}}, nil
		}
	}
	calls, next, err := s.opts.Records.Records(q.ctx(), domain, f)
	if err != nil {
		return reply{}, err
	}
	out, language := list[callDetail]{Items: make([]callDetail, 0, len(calls)), Next: next}, s.language(q)
	for _, c := range calls {
		if v, ok := s.viewCall(c, q.who, o); ok {
			out.Items = append(out.Items, callDetail{v, storyView(c, q, language)})
		}
	}
	return reply{body: out}, nil
}

// recordFilter reads the query of a list of records.
func recordFilter(q *request) (f feed.Filter, err error) {
	if f.Limit, f.Cursor, err = page(q); err != nil {
		return f, err
	}
	if n := q.query("number"); n != "" {
		f.Numbers = []string{n}
	}
	for _, t := range []struct {
		name string
		at   *time.Time
	}{{"from", &f.From}, {"to", &f.To}} {
		v := q.query(t.name)
		if v == "" {
			continue
		}
		if *t.at, err = time.Parse(time.RFC3339, v); err != nil {
			return f, invalid(fault(t.name, "query.time", "a time like 2026-12-01T09:00:00Z is expected"))
		}
	}
	return f, nil
}

// registrations lists bindings: an administrator's of the domain, a user's own.
func (s *Server) registrations(q *request) (reply, error) {
	if s.opts.Registrations == nil {
		return reply{}, absent("registrations")
	}
	domain, o, err := s.callDomain(q)
	if err != nil {
		return reply{}, err
	}
	want := []string{q.query("number")}
	if o != nil {
		want = slices.DeleteFunc(slices.Clone(o.numbers), func(n string) bool { return want[0] != "" && want[0] != n })
	}
	out := list[feed.Registration]{Items: []feed.Registration{}}
	for _, n := range want {
		rs, err := s.opts.Registrations.Registrations(q.ctx(), domain, n)
		if err != nil {
			return reply{}, err
		}
		out.Items = append(out.Items, rs...)
	}
	slices.SortStableFunc(out.Items, func(a, b feed.Registration) int { return strings.Compare(registrationKey(a), registrationKey(b)) })
	return pageRegistrations(q, out)
}

func registrationKey(r feed.Registration) string {
	return r.Number + "\x00" + r.Device + "\x00" + r.Contact
}

// pageRegistrations cuts a page out of the sorted bindings; the cursor is the
// last binding shown.
func pageRegistrations(q *request, all list[feed.Registration]) (reply, error) {
	limit, cursor, err := page(q)
	if err != nil {
		return reply{}, err
	}
	if cursor != "" {
		at := slices.IndexFunc(all.Items, func(r feed.Registration) bool { return hashOf(registrationKey(r)) == cursor })
		all.Items = all.Items[at+1:] // of a binding that is gone: from the start
	}
	if len(all.Items) > limit {
		all.Next = hashOf(registrationKey(all.Items[limit-1]))
		all.Items = all.Items[:limit]
	}
	return reply{body: all}, nil
}

func callEndpoints() []endpoint {
	const domain = "/v1/domains/{domain}"
	records := append(pageParams(), param{"number", "only calls that it made, was called by or answered", "1001"},
		param{"from", "started at or after", "2026-12-01T00:00:00Z"}, param{"to", "started before", "2026-12-02T00:00:00Z"})
	number := append(pageParams(), param{"number", "only of this number", "1001"})
	es := []endpoint{}
	for _, at := range []struct {
		base, id string
		access   access
	}{{domain, "", domainAdmin}, {"/v1/me", "my-", person}} {
		es = append(es,
			endpoint{method: http.MethodGet, path: at.base + "/registrations", id: "list-" + at.id + "registrations", summary: "Where devices are", access: at.access, query: number, out: typeOf[list[feed.Registration]](), handle: (*Server).registrations},
			endpoint{method: http.MethodGet, path: at.base + "/calls", id: "list-" + at.id + "calls", summary: "Live calls", access: at.access, query: pageParams(), out: typeOf[list[callView]](), handle: (*Server).liveCalls},
			endpoint{method: http.MethodGet, path: at.base + "/calls/{id}", id: "get-" + at.id + "call", summary: "A call, live or ended", access: at.access, out: typeOf[callDetail](), handle: (*Server).oneCall},
			endpoint{method: http.MethodGet, path: at.base + "/calls/{id}/story", id: "get-" + at.id + "story", summary: "How a call came to be what it was, in words", access: at.access, out: typeOf[story](), handle: (*Server).callStory},
			endpoint{method: http.MethodPost, path: at.base + "/calls/{id}/" + actionHangup, id: at.id + "hangup", summary: "End a call; 409 with its state when that cannot be", access: at.access, out: typeOf[actionDone](), status: http.StatusAccepted, handle: (*Server).hangUp},
			endpoint{method: http.MethodGet, path: at.base + "/records", id: "list-" + at.id + "records", summary: "Ended calls with their stories", access: at.access, query: records, out: typeOf[list[callDetail]](), handle: (*Server).records},
		)
	}
	es = append(es, endpoint{
		method: http.MethodGet, path: domain + "/calls/{id}/ladder", id: "get-ladder", summary: "The SIP messages of a call, without secrets",
		access: domainAdmin, out: typeOf[ladder](), handle: (*Server).callLadder,
	}, endpoint{
		method: http.MethodGet, path: "/v1/events", id: "events", summary: "What happens, as Server-Sent Events", access: person, media: eventStream,
		query: []param{{"kinds", "only these: call, registration, setting", "call,setting"}, {"domain", "for a system-admin: only this domain", "bellhop.test"}}, handle: (*Server).events,
	})
	for i := range es {
		es[i].tag = "calls"
	}
	return append(es, explainEndpoint())
}
