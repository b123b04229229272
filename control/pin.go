package control

import (
	"crypto/rand"
	"errors"
	"math/big"
	"net/http"
	"time"

	"bellhop/routing/directory"
)

// pinChange is the body of PUT .../pin.
type pinChange struct {
	Old string `json:"old,omitempty" writeOnly:"true" doc:"the PIN until now; without one, none"`
	New string `json:"new" writeOnly:"true"`
}

// pinShown is a new random PIN, shown this once.
type pinShown struct {
	PIN string `json:"pin" doc:"shown once; its first use changes it"`
}

// pinView says what may be known of a PIN.
type pinView struct {
	Set        bool      `json:"set"`
	MustChange bool      `json:"must_change"`
	Changed    time.Time `json:"changed,omitzero"`
	Length     int       `json:"length" doc:"digits that a new one has at least"`
}

func pinEndpoints() []endpoint {
	var es []endpoint
	for _, at := range []struct {
		path, id, tag string
		access        access
	}{{"/v1/domains/{domain}/users/{user}/pin", "pin", "settings", member}, {"/v1/me/pin", "my-pin", "me", person}} {
		es = append(es,
			endpoint{method: http.MethodGet, path: at.path, id: "get-" + at.id, tag: at.tag, access: at.access, summary: "Whether there is a PIN", out: typeOf[pinView](), handle: (*Server).getPIN},
			endpoint{method: http.MethodPut, path: at.path, id: "put-" + at.id, tag: at.tag, access: at.access, summary: "Change one's PIN, with the old one", in: typeOf[pinChange](), handle: (*Server).putPIN},
		)
	}
	return append(es, endpoint{
		method: http.MethodPost, path: "/v1/domains/{domain}/users/{user}/pin/reset", id: "reset-pin", tag: "settings", access: domainAdmin,
		summary: "Give a user a new random PIN; it is shown once and must be changed at its first use", out: typeOf[pinShown](), status: http.StatusCreated, handle: (*Server).resetPIN,
	})
}

// pinOf reads the PIN of a user that exists.
func (s *Server) pinOf(q *request) (ref directory.Ref, pin directory.PIN, version directory.Version, err error) {
	domain, user, err := s.sessionsOf(q)
	if err != nil {
		return ref, pin, version, err
	}
	ref = directory.Ref{Domain: domain, Kind: directory.KindPIN, Name: user}
	if _, err = s.opts.Documents.Get(q.ctx(), directory.Ref{Domain: domain, Kind: directory.KindUser, Name: user}); err != nil {
		return ref, pin, version, err
	}
	doc, err := s.opts.Documents.Get(q.ctx(), ref)
	if errors.Is(err, directory.ErrNotFound) {
		return ref, pin, version, nil
	}
	if err == nil {
		pin, err = directory.Parse[directory.PIN](directory.KindPIN, doc.Body)
	}
	return ref, pin, doc.Version, err
}

func (s *Server) getPIN(q *request) (reply, error) {
	ref, pin, _, err := s.pinOf(q)
	if err != nil {
		return reply{}, err
	}
	d, err := s.policies(q.ctx(), ref.Domain)
	return reply{body: pinView{Set: pin.Hash != "", MustChange: pin.MustChange, Changed: pin.Changed, Length: directory.PINLength(d)}}, err
}

// putPIN changes one's own PIN. An administrator knows no other's: [Server.resetPIN].
func (s *Server) putPIN(q *request) (reply, error) {
	var in pinChange
	if err := decodeStrict(q.body, &in); err != nil {
		return reply{}, err
	}
	if q.http.TLS == nil && !s.opts.Plain {
		return reply{}, problem(http.StatusForbidden, "pin.tls", "a PIN is changed over TLS only")
	}
	ref, pin, version, err := s.pinOf(q)
	if err != nil {
		return reply{}, err
	}
	if q.who.user != ref.Name || q.who.domain != ref.Domain {
		return reply{}, forbidden("only its user knows a PIN: reset it")
	}
	if err := s.checkOldPIN(q, ref, pin, in.Old); err != nil {
		return reply{}, err
	}
	numbers, err := s.owned(q, directory.KindNumber)
	if err != nil {
		return reply{}, err
	}
	d, err := s.policies(q.ctx(), ref.Domain)
	if err != nil {
		return reply{}, err
	}
	if faults := directory.CheckPIN(in.New, directory.PINLength(d), numbers); len(faults) > 0 {
		return reply{}, invalid(located("new", faults)...)
	}
	return reply{status: http.StatusNoContent}, s.writePIN(q, ref, version, in.New, false)
}

// checkOldPIN slows guesses at the old PIN as it does sign-ins.
func (s *Server) checkOldPIN(q *request, ref directory.Ref, pin directory.PIN, old string) error {
	if pin.Hash == "" {
		return nil
	}
	source, key := peerAddr(q.http), "pin:"+ref.Name+"@"+ref.Domain
	if wait := s.brake.admit(key, source, q.now); wait > 0 {
		p := problem(http.StatusTooManyRequests, "session.slow", "too many wrong PINs: wait")
		p.retry = wait
		return p
	}
	if len(old) > directory.MaxPIN {
		old = ""
	}
	same, err := s.hasher.verify(q.ctx(), pin.Hash, old)
	if err != nil {
		return err
	}
	if !same {
		return invalid(fault("old", "pin.old", "it is not the PIN until now"))
	}
	s.brake.succeeded(key, source)
	return nil
}

func (s *Server) writePIN(q *request, ref directory.Ref, version directory.Version, pin string, mustChange bool) error {
	hash, err := s.hasher.hash(q.ctx(), pin)
	if err != nil {
		return err
	}
	body, err := directory.Encode(directory.PIN{Hash: hash, Changed: q.now.UTC().Truncate(time.Second), MustChange: mustChange})
	if err != nil {
		return err
	}
	_, err = s.opts.Documents.Apply(q.ctx(), q.author(), []directory.Write{{Ref: ref, Body: body, IfMatch: version, Create: version.IsZero()}})
	return err
}

// resetPIN gives a user a random PIN that keeps every rule.
func (s *Server) resetPIN(q *request) (reply, error) {
	ref, _, version, err := s.pinOf(q)
	if err != nil {
		return reply{}, err
	}
	pin, err := s.randomPIN(q, ref)
	if err != nil {
		return reply{}, err
	}
	if err := s.writePIN(q, ref, version, pin, true); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: pinShown{PIN: pin}}, nil
}

func (s *Server) randomPIN(q *request, ref directory.Ref) (string, error) {
	d, err := s.policies(q.ctx(), ref.Domain)
	if err != nil {
		return "", err
	}
	docs, _, err := s.ownedBy(q, ref.Domain, ref.Name, directory.KindNumber)
	if err != nil {
		return "", err
	}
	var numbers []string
	for _, n := range docs {
		numbers = append(numbers, n.Name)
	}
	for { // most random PINs keep the rules; of the shortest, 7 in 10
		pin := digits(directory.PINLength(d))
		if len(directory.CheckPIN(pin, directory.PINLength(d), numbers)) == 0 {
			return pin, nil
		}
	}
}

// digits makes random digits.
func digits(n int) string {
	b := make([]byte, n)
	ten := big.NewInt(10)
	for i := range b {
		d, _ := rand.Int(rand.Reader, ten) // never fails (crypto/rand)
		b[i] = '0' + byte(d.Int64())
	}
	return string(b)
}
