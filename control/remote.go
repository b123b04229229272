package control

import (
	"strings"

	"bellhop/routing/directory"
)

// ownedRemote is the owner of a remote destination: the user it is named after.
func ownedRemote(_ *Server, _ *request, ref directory.Ref, _ map[string]any) (string, error) {
	user, _ := directory.SplitRemote(ref.Name)
	return user, nil
}

// ownedByDevice is the owner of a speed dial: the device's.
func ownedByDevice(s *Server, q *request, ref directory.Ref, _ map[string]any) (string, error) {
	device, _ := directory.SplitRemote(ref.Name)
	_, d, err := s.current(q.ctx(), directory.Ref{Domain: ref.Domain, Kind: directory.KindDevice, Name: device})
	user, _ := d["user"].(string)
	return user, err
}

// beforeRemote writes a number that is dialled outside in its E.164 form, so
// that a call from it is known by it (snr.inbound).
func (s *Server) beforeRemote(q *request, w *pending) error {
	text, given := w.body["number"].(string)
	if w.input == nil || !given {
		return nil
	}
	d, _, err := document[directory.Domain](s, q, directory.Ref{Kind: directory.KindDomain, Name: w.ref.Domain})
	if err != nil {
		return err
	}
	n, ok := directory.CompileTenant(w.ref.Domain, d).Plan.Parse(text)
	if !ok || n.E164 == "" {
		return nil
	}
	if n.Ext != "" {
		_, there, err := s.current(q.ctx(), directory.Ref{Domain: w.ref.Domain, Kind: directory.KindNumber, Name: n.Ext})
		if err != nil || there != nil {
			return err
		}
	}
	w.body["number"] = n.E164
	return nil
}

// allOf lists the documents of a kind that hang on one thing: the remote
// destinations of a user, the speed dials of a device. There are few of them, so
// they are one page.
func (rs *resource) allOf(s *Server, q *request) (reply, error) {
	of, err := rs.ref(q)
	if err != nil {
		return reply{}, err
	}
	if err := s.mayRead(q, rs, of, nil); err != nil {
		return reply{}, err
	}
	if err := s.needsParent(q, rs, of); err != nil {
		return reply{}, err
	}
	out := list[map[string]any]{Items: []map[string]any{}}
	err = s.hanging(q, rs.kind, of.Domain, rs.parentOf(of.Name), func(d directory.Document, m map[string]any) {
		m[rs.singular], m["etag"] = rs.called(d.Name), d.Version.String()
		out.Items = append(out.Items, m)
	})
	return reply{body: out}, err
}

// remotes calls f for the remote destinations of a user.
func (s *Server) remotes(q *request, domain, user string, f func(directory.Document, map[string]any)) error {
	return s.hanging(q, directory.KindRemote, domain, user, f)
}

// hanging calls f for the documents of a kind that hang on one thing, its name
// being the first part of theirs.
func (s *Server) hanging(q *request, kind directory.Kind, domain, of string, f func(directory.Document, map[string]any)) error {
	// The search finds those of other things whose name ends like this one's, too.
	search := directory.Query{Limit: pageMost, Q: directory.RemoteName(of, "")}
	for {
		docs, next, err := s.opts.Documents.List(q.ctx(), domain, kind, search)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if !strings.HasPrefix(d.Name, search.Q) {
				continue
			}
			m, err := decodeObject(d.Body)
			if err != nil {
				return err
			}
			f(d, m)
		}
		if next == "" || len(docs) == 0 {
			return nil
		}
		search.Cursor = next
	}
}

// phones are the numbers of the remote destinations of who asks.
func (s *Server) phones(q *request) (out []string, err error) {
	if q.who.user == "" || q.who.domain == "" {
		return nil, nil
	}
	err = s.remotes(q, q.who.domain, q.who.user, func(_ directory.Document, m map[string]any) {
		if n, ok := m["number"].(string); ok {
			out = append(out, n)
		}
	})
	return out, err
}
