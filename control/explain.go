package control

import (
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/explain"
)

// An explainRequest asks what would become of a call.
type explainRequest struct {
	Domain string                     `json:"domain" example:"bellhop.test"`
	Caller string                     `json:"caller" doc:"a number of the domain, or any other for a call from outside"`
	Called string                     `json:"called" doc:"as it is dialled"`
	Trunk  string                     `json:"trunk,omitempty" doc:"by which a call from outside comes, for administrators; none: one that may reach everything"`
	At     time.Time                  `json:"at,omitzero" doc:"none: now"`
	Assume map[string]json.RawMessage `json:"assume,omitempty" doc:"settings that differ from what is set, as merge patches by their path: users/ana/dnd"`
}

// maxAssumed bounds the settings that one question may assume.
const maxAssumed = 32

func explainEndpoint() endpoint {
	return endpoint{
		method: http.MethodPost, path: "/v1/explain", id: "explain", tag: "calls", access: person,
		summary: "What would become of a call, and why: the function that routes live calls, without side effects",
		in:      typeOf[explainRequest](), out: typeOf[explain.Explanation](), handle: (*Server).explain,
	}
}

// language is the first that the client names, else that of who is signed in.
func (s *Server) language(q *request) string {
	lang, _, _ := strings.Cut(q.http.Header.Get("Accept-Language"), ",")
	lang, _, _ = strings.Cut(lang, ";")
	if lang = strings.TrimSpace(lang); lang != "" && lang != "*" || q.who.user == "" {
		return lang
	}
	u, _, err := document[directory.User](s, q, directory.Ref{Domain: q.who.domain, Kind: directory.KindUser, Name: q.who.user})
	if err != nil {
		return "" // the words are English then
	}
	return u.Language
}

func (s *Server) explain(q *request) (reply, error) {
	if s.opts.World == nil {
		return reply{}, absent("routing")
	}
	var in explainRequest
	if err := decodeStrict(q.body, &in); err != nil {
		return reply{}, err
	}
	in.Domain = directory.Host(in.Domain)
	var faults []directory.Fault
	for _, f := range []struct{ name, value string }{{"domain", in.Domain}, {"caller", in.Caller}, {"called", in.Called}} {
		if f.value == "" || len(f.value) > 256 {
			faults = append(faults, fault(f.name, directory.RuleMissing, "must be set"))
		}
	}
	if len(in.Assume) > maxAssumed {
		faults = append(faults, fault("assume", directory.RuleValue, "are more than "+itoa(maxAssumed)))
	}
	if len(faults) > 0 {
		return reply{}, invalid(faults...)
	}
	if in.At.IsZero() {
		in.At = q.now
	}
	if err := s.mayExplain(q, &in); err != nil {
		return reply{}, err
	}
	view, err := s.assume(q, &in)
	if err != nil {
		return reply{}, err
	}
	visit, err := s.explainVisit(q, &in)
	if err != nil {
		return reply{}, err
	}
	out, err := explain.Explain(explain.Question{
		Visit: visit, At: in.At, Language: s.language(q),
		Viewer: explain.Viewer{Admin: q.who.admin(in.Domain), User: q.who.user},
	}, view.load)
	if err != nil {
		return reply{}, err
	}
	return reply{body: out}, nil
}

// mayExplain: administrators ask about every call of their domain, users about
// calls from or to themselves, and they assume their own settings only.
func (s *Server) mayExplain(q *request, in *explainRequest) error {
	if q.who.admin(in.Domain) {
		_, err := s.opts.Documents.Get(q.ctx(), directory.Ref{Kind: directory.KindDomain, Name: in.Domain})
		if err == nil && in.Trunk != "" {
			_, err = s.opts.Documents.Get(q.ctx(), directory.Ref{Domain: in.Domain, Kind: directory.KindTrunk, Name: in.Trunk})
		}
		return err
	}
	if in.Trunk != "" {
		return forbidden("only an administrator asks about a trunk")
	}
	if q.who.domain != in.Domain {
		return notFound()
	}
	own, err := s.owned(q, directory.KindNumber)
	if err != nil {
		return err
	}
	if !slices.Contains(own, in.Caller) && !slices.Contains(own, in.Called) {
		return forbidden("one of the two must be a number of yours")
	}
	for path := range in.Assume {
		ref, ok := settingRef(in.Domain, path)
		if !ok || !settingOf(ref, q.who.user, own) {
			return forbidden("%s is no setting of yours", path)
		}
	}
	return nil
}

// explainVisit makes the visit of the question: a number of the domain calls
// from a device, anything else from outside.
func (s *Server) explainVisit(q *request, in *explainRequest) (routing.Visit, error) {
	v := routing.Visit{Origin: routing.OriginTrunk, Domain: in.Domain, Method: "INVITE", Target: in.Called, Caller: routing.Caller{Number: in.Caller}}
	_, number, err := s.current(q.ctx(), directory.Ref{Domain: in.Domain, Kind: directory.KindNumber, Name: in.Caller})
	if err != nil || number == nil {
		v.Trunk = in.Trunk
		return v, err
	}
	v.Origin, v.Caller.Domain = routing.OriginDevice, in.Domain
	return v, nil
}

// settingRef reads the path of a setting as the API and traces spell it; false
// for one that cannot be assumed.
func settingRef(domain, path string) (directory.Ref, bool) {
	ref, ok := directory.ParsePath(domain, strings.Trim(path, "/"))
	if !ok || !plainName(strings.Replace(ref.Name, "/", "", 1)) {
		return directory.Ref{}, false
	}
	switch ref.Kind {
	case directory.KindNumber, directory.KindClass, directory.KindForwarding, directory.KindDND, directory.KindPresence,
		directory.KindPresenceTo, directory.KindCallMe, directory.KindRemote, directory.KindGroup:
		return ref, true
	case directory.KindDomain, directory.KindSite, directory.KindUser, directory.KindDevice,
		directory.KindTrunk, directory.KindCredential, directory.KindTrunkKey, directory.KindSignIn,
		directory.KindPIN, directory.KindSpeedDial, directory.KindActivation, directory.KindChange:
		return directory.Ref{}, false
	default:
		return directory.Ref{}, false
	}
}

// settingOf reports whether a setting is a user's own, who has numbers.
func settingOf(ref directory.Ref, user string, numbers []string) bool {
	if ref.Kind == directory.KindForwarding {
		return slices.Contains(numbers, ref.Name)
	}
	owner, _ := directory.SplitRemote(ref.Name)
	return owner == user && slices.Contains([]directory.Kind{
		directory.KindDND, directory.KindPresence, directory.KindPresenceTo, directory.KindCallMe, directory.KindRemote,
	}, ref.Kind)
}

// An assumed view is the directory with some settings changed in thought.
type assumed struct {
	s       *Server
	q       *request
	changed map[directory.Ref][]byte
	devices []string // of the number that is compiled
	groups  []string // that name it
}

// assume merges the assumed settings into what is set, and checks their form.
func (s *Server) assume(q *request, in *explainRequest) (*assumed, error) {
	a := &assumed{s: s, q: q, changed: map[directory.Ref][]byte{}}
	for _, path := range slices.Sorted(maps.Keys(in.Assume)) { // dnd before the presence that may switch it
		patch := in.Assume[path]
		ref, ok := settingRef(in.Domain, path)
		if !ok {
			return nil, invalid(fault("assume."+path, directory.RuleUnknown, "there is no such setting"))
		}
		_, now, err := s.current(q.ctx(), ref)
		if err != nil {
			return nil, err
		}
		change, err := decodeObject(patch)
		if err != nil {
			return nil, err
		}
		merged, err := json.Marshal(mergePatch(cloneObject(now), change))
		if err != nil {
			return nil, err
		}
		v, faults := directory.Decode(ref.Kind, merged)
		if len(faults) > 0 {
			for i := range faults {
				faults[i].Location = "assume." + path + "." + faults[i].Location
			}
			return nil, invalid(faults...)
		}
		if err := a.put(ref, v); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// put keeps one assumed value; the presence do-not-disturb is dnd.
func (a *assumed) put(ref directory.Ref, v any) error {
	if p, ok := v.(directory.Presence); ok && p.Status == directory.StatusDND {
		dndRef := directory.Ref{Domain: ref.Domain, Kind: directory.KindDND, Name: ref.Name}
		doc, there, err := a.Get(dndRef)
		if err != nil {
			return err
		}
		if !there {
			doc.Body = []byte("{}")
		}
		dnd, err := directory.Parse[directory.DND](directory.KindDND, doc.Body)
		if err != nil {
			return err
		}
		p, dnd = directory.SplitPresence(p, directory.Presence{}, dnd)
		if a.changed[dndRef], err = directory.Encode(dnd); err != nil {
			return err
		}
		v = p
	}
	b, err := directory.Encode(v)
	a.changed[ref] = b
	return err
}

// load is the loader of the question: what the store has, and numbers whose
// settings are assumed compiled anew.
func (a *assumed) load(need routing.Need, w *routing.World) error {
	if need.Kind != routing.NeedNumber || len(a.changed) == 0 {
		return a.s.opts.World.Load(a.q.ctx(), need, w)
	}
	whole := routing.NewWorld(w.Now)
	if err := a.s.opts.World.Load(a.q.ctx(), need, whole); err != nil {
		return err
	}
	line := whole.Number(need.Domain, need.Key)
	name := need.Key
	a.devices, a.groups = nil, nil
	if line != nil {
		name, a.devices, a.groups = line.Number, line.Devices, slices.Clone(line.Pickup)
		if line.Hunt != nil {
			a.groups = append(a.groups, line.Hunt.Name)
		}
	}
	if line == nil && a.changed[directory.Ref{Domain: need.Domain, Kind: directory.KindNumber, Name: name}] == nil {
		w.PutNumber(need.Domain, need.Key, nil)
		return nil
	}
	domain, _, err := document[directory.Domain](a.s, a.q, directory.Ref{Kind: directory.KindDomain, Name: need.Domain})
	if err != nil {
		return err
	}
	line, _, err = directory.LoadLine(a, directory.CompileTenant(need.Domain, domain), name)
	if err != nil {
		return err
	}
	w.PutNumber(need.Domain, need.Key, line)
	return nil
}

// Get implements [directory.View].
func (a *assumed) Get(ref directory.Ref) (directory.Document, bool, error) {
	if body, ok := a.changed[ref]; ok {
		return directory.Document{Ref: ref, Body: body}, true, nil
	}
	doc, m, err := a.s.current(a.q.ctx(), ref)
	return doc, m != nil, err
}

// Find implements [directory.View] as far as compiling a number asks: for its
// devices, which no setting changes, its groups, and the remote destinations of its
// user.
func (a *assumed) Find(key directory.Key) (refs []directory.Ref, err error) {
	domain, name, _ := strings.Cut(key.Value, "/")
	if key.Index == directory.IndexOwner {
		return a.remotes(domain, name)
	}
	if key.Index != directory.IndexLine {
		return nil, nil
	}
	for _, d := range a.devices {
		refs = append(refs, directory.Ref{Domain: domain, Kind: directory.KindDevice, Name: d})
	}
	for _, g := range a.groups {
		refs = append(refs, directory.Ref{Domain: domain, Kind: directory.KindGroup, Name: g})
	}
	for ref, body := range a.changed {
		if ref.Kind == directory.KindGroup && !slices.Contains(refs, ref) && slices.Contains(directory.Keys(ref, body), key) {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

// remotes are the remote destinations of a user, with those that are assumed.
func (a *assumed) remotes(domain, user string) (refs []directory.Ref, err error) {
	err = a.s.remotes(a.q, domain, user, func(d directory.Document, _ map[string]any) { refs = append(refs, d.Ref) })
	for ref := range a.changed {
		if owner, _ := directory.SplitRemote(ref.Name); ref.Kind == directory.KindRemote && owner == user && !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs, err
}

// List implements [directory.View]; nothing that is compiled asks for it.
func (*assumed) List(string, directory.Kind) iter.Seq2[directory.Ref, error] {
	return func(func(directory.Ref, error) bool) {}
}
