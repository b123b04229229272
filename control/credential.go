package control

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"bellhop/routing/directory"
)

// A credentialShown is a new secret of a device, shown this once.
type credentialShown struct {
	ID       string    `json:"id"`
	Username string    `json:"username" doc:"the authorization name"`
	Secret   string    `json:"secret" doc:"shown once; 128 bits"`
	Expires  time.Time `json:"expires,omitzero"`
}

// A credentialView is what may be known of a credential afterwards.
type credentialView struct {
	ID       string    `json:"id,omitempty"`
	Username string    `json:"username"`
	Set      bool      `json:"set"`
	Origin   string    `json:"origin,omitempty" doc:"how it was made"`
	Expires  time.Time `json:"expires,omitzero"`
	Since    time.Time `json:"since,omitzero"`
}

// device reads the device a request is about, for an administrator.
func (s *Server) device(q *request) (directory.Ref, error) {
	ref := directory.Ref{Domain: strings.ToLower(q.path("domain")), Kind: directory.KindDevice, Name: q.path("device")}
	if !plainName(ref.Name) {
		return ref, notFound()
	}
	_, m, err := s.current(q.ctx(), ref)
	if err != nil {
		return ref, err
	}
	if m == nil {
		return ref, notFound()
	}
	if !q.who.admin(ref.Domain) {
		if owner, _ := m["user"].(string); owner == "" || owner != q.who.user {
			return ref, notFound()
		}
		return ref, forbidden("only an administrator handles credentials")
	}
	return ref, nil
}

func (s *Server) getCredential(q *request) (reply, error) {
	ref, err := s.device(q)
	if err != nil {
		return reply{}, err
	}
	doc, err := s.opts.Documents.Get(q.ctx(), credentialRef(ref))
	if errors.Is(err, directory.ErrNotFound) {
		return reply{body: credentialView{Username: ref.Name}}, nil
	}
	if err != nil {
		return reply{}, err
	}
	c, err := directory.Parse[directory.Secret](directory.KindCredential, doc.Body)
	if err != nil {
		return reply{}, err
	}
	return reply{etag: doc.Version.String(), body: credentialView{
		ID: c.ID, Username: doc.Name, Set: true, Origin: c.Origin, Expires: c.Expires, Since: doc.At,
	}}, nil
}

// newCredential makes or rotates the secret of a device: 128 random bits, shown
// once and stored sealed.
func (s *Server) newCredential(q *request) (reply, error) {
	ref, err := s.device(q)
	if err != nil {
		return reply{}, err
	}
	w, shown, err := s.credentialWrite(ref)
	if err != nil {
		return reply{}, err
	}
	if _, err := s.opts.Documents.Apply(q.ctx(), q.author(), []directory.Write{w}); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: shown}, nil
}

// credentialWrite makes a new secret for a device, and the write that keeps it.
func (s *Server) credentialWrite(device directory.Ref) (directory.Write, credentialShown, error) {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	secret := base64.RawURLEncoding.EncodeToString(b)
	sealed, err := s.opts.Sealer.Seal(directory.SealCredential, []byte(secret), directory.CredentialAAD(device.Domain, device.Name, device.Name))
	if err != nil {
		return directory.Write{}, credentialShown{}, err
	}
	c := directory.Secret{ID: newID(), Device: device.Name, Sealed: sealed, Origin: "api"}
	body, err := directory.Encode(c)
	return directory.Write{Ref: credentialRef(device), Body: body}, credentialShown{ID: c.ID, Username: device.Name, Secret: secret}, err
}

func (s *Server) removeCredential(q *request) (reply, error) {
	ref, err := s.device(q)
	if err != nil {
		return reply{}, err
	}
	_, err = s.opts.Documents.Apply(q.ctx(), q.author(), []directory.Write{{Ref: credentialRef(ref)}})
	return reply{status: http.StatusNoContent}, err
}

func credentialRef(device directory.Ref) directory.Ref {
	return directory.Ref{Domain: device.Domain, Kind: directory.KindCredential, Name: device.Name}
}
