package control

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"bellhop/routing/directory"
)

// activationShown is a new activation code, shown this once.
type activationShown struct {
	Code    string    `json:"code" doc:"16 digits, valid once"`
	Expires time.Time `json:"expires"`
}

// activateRequest is what a phone sends to fetch its credentials.
type activateRequest struct {
	Code string `json:"code" writeOnly:"true" doc:"16 digits; blanks and dashes are dropped"`
}

// activated is what a phone needs to register.
type activated struct {
	Domain string   `json:"domain"`
	Lines  []string `json:"lines" doc:"the numbers it registers, its first line first"`
	credentialShown
}

func activationEndpoints() []endpoint {
	return []endpoint{
		{
			method: http.MethodPost, path: "/v1/domains/{domain}/devices/{device}/activation", id: "new-activation", tag: "directory", access: member,
			summary: "Make an activation code: with it a phone fetches its credentials, once, within a week; one made before ends",
			out:     typeOf[activationShown](), status: http.StatusCreated, handle: (*Server).newActivation,
		},
		{
			method: http.MethodPost, path: "/v1/activate", id: "activate", tag: "directory", access: anyone,
			summary: "Fetch the credentials of a phone with its activation code", in: typeOf[activateRequest](), out: typeOf[activated](), status: http.StatusCreated, handle: (*Server).activate,
		},
	}
}

// newActivation makes a code for a device and ends the one before.
func (s *Server) newActivation(q *request) (reply, error) {
	device, err := s.device(q)
	if err != nil {
		return reply{}, err
	}
	writes, err := s.dropActivations(q, func(a directory.Activation) bool {
		return a.Domain == device.Domain && a.Device == device.Name || !q.now.Before(a.Expires)
	})
	if err != nil {
		return reply{}, err
	}
	code := digits(directory.ActivationDigits)
	expires := q.now.Add(directory.ActivationLife).UTC().Truncate(time.Second)
	body, err := directory.Encode(directory.Activation{Domain: device.Domain, Device: device.Name, Expires: expires})
	if err != nil {
		return reply{}, err
	}
	writes = append(writes, directory.Write{Ref: activationRef(code), Body: body, Create: true})
	if _, err := s.opts.Documents.Apply(q.ctx(), q.author(), writes); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: activationShown{Code: code, Expires: expires}}, nil
}

func activationRef(code string) directory.Ref {
	return directory.Ref{Kind: directory.KindActivation, Name: hashOf(code)}
}

// dropActivations makes the writes that remove activations. There are few: each is
// used or ends within a week.
func (s *Server) dropActivations(q *request, drop func(directory.Activation) bool) (out []directory.Write, err error) {
	page := directory.Query{Limit: pageMost}
	for {
		docs, next, err := s.opts.Documents.List(q.ctx(), "", directory.KindActivation, page)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			if a, err := directory.Parse[directory.Activation](directory.KindActivation, d.Body); err == nil && drop(a) {
				out = append(out, directory.Write{Ref: d.Ref, IfMatch: d.Version})
			}
		}
		if next == "" || len(docs) == 0 {
			return out, nil
		}
		page.Cursor = next
	}
}

// activate gives a phone new credentials and ends the code, in one transaction: of
// two who come with one code, one is refused.
func (s *Server) activate(q *request) (reply, error) {
	var in activateRequest
	if err := decodeStrict(q.body, &in); err != nil {
		return reply{}, err
	}
	if q.http.TLS == nil && !s.opts.Plain {
		return reply{}, problem(http.StatusForbidden, "activation.tls", "credentials are fetched over TLS only")
	}
	source := peerAddr(q.http)
	if wait := s.brake.admit("activation:"+source.String(), source, q.now); wait > 0 {
		p := problem(http.StatusTooManyRequests, "session.slow", "too many wrong codes: wait")
		p.retry = wait
		return reply{}, p
	}
	code := strings.NewReplacer(" ", "", "-", "").Replace(in.Code)
	refused := problem(http.StatusUnprocessableEntity, "activation.code", "the code is none, was used, or has ended: ask for a new one")
	if len(code) != directory.ActivationDigits {
		return reply{}, refused
	}
	doc, err := s.opts.Documents.Get(q.ctx(), activationRef(code))
	if errors.Is(err, directory.ErrNotFound) {
		return reply{}, refused
	}
	if err != nil {
		return reply{}, err
	}
	a, err := directory.Parse[directory.Activation](directory.KindActivation, doc.Body)
	if err != nil || !q.now.Before(a.Expires) {
		return reply{}, refused
	}
	out, err := s.credentialsByCode(q, doc, a)
	if errors.Is(err, directory.ErrNotFound) || errors.Is(err, directory.ErrVersion) { // used meanwhile
		return reply{}, refused
	}
	s.brake.succeeded("activation:"+source.String(), source)
	return reply{status: http.StatusCreated, body: out}, err
}

func (s *Server) credentialsByCode(q *request, doc directory.Document, a directory.Activation) (out activated, err error) {
	ref := directory.Ref{Domain: a.Domain, Kind: directory.KindDevice, Name: a.Device}
	device, err := s.opts.Documents.Get(q.ctx(), ref)
	if err != nil {
		return out, err
	}
	d, err := directory.Parse[directory.Device](directory.KindDevice, device.Body)
	if err != nil {
		return out, err
	}
	w, shown, err := s.credentialWrite(ref)
	if err != nil {
		return out, err
	}
	by := directory.Author{Actor: "activation:" + a.Device + "@" + a.Domain, From: peerAddr(q.http).String()}
	if _, err := s.opts.Documents.Apply(q.ctx(), by, []directory.Write{{Ref: doc.Ref, IfMatch: doc.Version}, w}); err != nil {
		return out, err
	}
	out = activated{Domain: a.Domain, Lines: make([]string, 0, len(d.Lines)), credentialShown: shown}
	for _, l := range d.Lines {
		out.Lines = append(out.Lines, l.Number)
	}
	return out, nil
}
