package control

import (
	"encoding/json"
	"errors"
	"reflect"

	"bellhop/routing/directory"
)

// docType is the Go type of the documents of a kind: its schema and nothing else
// is taken from it.
func docType(kind directory.Kind) reflect.Type {
	switch kind {
	case directory.KindDomain:
		return typeOf[directory.Domain]()
	case directory.KindSite:
		return typeOf[directory.Site]()
	case directory.KindUser:
		return typeOf[directory.User]()
	case directory.KindNumber:
		return typeOf[directory.Number]()
	case directory.KindDevice:
		return typeOf[directory.Device]()
	case directory.KindGroup:
		return typeOf[directory.Group]()
	case directory.KindTrunk:
		return typeOf[directory.Trunk]()
	case directory.KindClass:
		return typeOf[directory.Class]()
	case directory.KindForwarding:
		return typeOf[directory.Forwarding]()
	case directory.KindDND:
		return typeOf[directory.DND]()
	case directory.KindPresence:
		return typeOf[directory.Presence]()
	case directory.KindPresenceTo:
		return typeOf[directory.PresenceForwarding]()
	case directory.KindCallMe:
		return typeOf[directory.CallMe]()
	case directory.KindRemote:
		return typeOf[directory.RemoteDestination]()
	case directory.KindSpeedDial:
		return typeOf[directory.SpeedDial]()
	case directory.KindCredential, directory.KindTrunkKey, directory.KindSignIn, directory.KindPIN, directory.KindActivation, directory.KindChange: // never shown as they are
		return nil
	default:
		return nil
	}
}

// document reads one into its type; what is not there is the zero value.
func document[T any](s *Server, q *request, ref directory.Ref) (v T, doc directory.Document, err error) {
	doc, err = s.opts.Documents.Get(q.ctx(), ref)
	if errors.Is(err, directory.ErrNotFound) {
		v, err = directory.Parse[T](ref.Kind, []byte("{}"))
		return v, directory.Document{Ref: ref}, err
	}
	if err != nil {
		return v, doc, err
	}
	v, err = directory.Parse[T](ref.Kind, doc.Body)
	return v, doc, err
}

// viewPresence shows do not disturb as the status it also is.
func (s *Server) viewPresence(q *request, ref directory.Ref, m map[string]any) error {
	dnd, _, err := document[directory.DND](s, q, directory.Ref{Domain: ref.Domain, Kind: directory.KindDND, Name: ref.Name})
	if err != nil {
		return err
	}
	if m["status"] == nil {
		m["status"] = directory.StatusOffice
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	set, _ := directory.Decode(directory.KindPresence, b)
	if dnd.Enabled {
		m["status"] = directory.StatusDND
	}
	if err := byRule("presence.forward")(s, q, ref, m); err != nil {
		return err
	}
	if out, ok := m["effective"].(inForce); ok {
		p, _ := set.(directory.Presence)
		out.Status = directory.ViewPresence(directory.Presence{Status: p.At(q.now)}, dnd).Status
		m["effective"] = out
	}
	return nil
}

// beforePresence splits what is set into presence and do not disturb, which are
// one setting to the user and two documents: both are written or none is.
func (s *Server) beforePresence(q *request, w *pending) error {
	dndRef := directory.Ref{Domain: w.ref.Domain, Kind: directory.KindDND, Name: w.ref.Name}
	dnd, dndDoc, err := document[directory.DND](s, q, dndRef)
	if err != nil {
		return err
	}
	old, _, err := document[directory.Presence](s, q, w.ref)
	if err != nil {
		return err
	}
	set := directory.Presence{Status: directory.StatusOffice}
	if w.input != nil {
		if set, err = presenceSet(w, old, dnd); err != nil {
			return err
		}
	}
	presence, after := directory.SplitPresence(set, old, dnd)
	if w.input != nil {
		b, err := directory.Encode(presence)
		if err != nil {
			return err
		}
		if w.body, err = decodeObject(b); err != nil {
			return err
		}
		w.patch = false // merged here already
	}
	if after.Enabled == dnd.Enabled {
		return nil
	}
	b, err := directory.Encode(after)
	w.more = append(w.more, directory.Write{Ref: dndRef, Body: b, IfMatch: dndDoc.Version, Create: dndDoc.Version.IsZero()})
	return err
}

// presenceSet is the presence that a write asks for: a patch changes what the
// user sees.
func presenceSet(w *pending, old directory.Presence, dnd directory.DND) (directory.Presence, error) {
	body := w.body
	if w.patch {
		b, err := directory.Encode(directory.ViewPresence(old, dnd))
		if err != nil {
			return old, err
		}
		seen, err := decodeObject(b)
		if err != nil {
			return old, err
		}
		body, _ = mergePatch(seen, body).(map[string]any)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return old, err
	}
	return directory.Parse[directory.Presence](directory.KindPresence, b)
}
