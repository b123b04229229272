package control_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bellhop/control"
	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/ring"
)

// A store keeps everything in memory, with the checks of the directory, as the
// real ones do.
type store struct {
	mu       sync.Mutex // guards all
	n        uint64
	docs     map[directory.Ref]directory.Document
	past     map[directory.Ref][]directory.Document
	sessions map[string]directory.Session
	tokens   map[string]directory.Token
	live     []*feed.Call
	ended    []*feed.Call
	bindings []feed.Registration
	hung     []string // ids of calls that were hung up
	hang     error    // what HangUp gives
	trunks   map[string]feed.TrunkStatus
	stream   *feed.Stream
	fail     error // what every call gives, when set
}

func newStore() *store {
	return &store{
		docs: map[directory.Ref]directory.Document{}, past: map[directory.Ref][]directory.Document{},
		sessions: map[string]directory.Session{}, tokens: map[string]directory.Token{}, stream: feed.NewStream(4096),
	}
}

func (s *store) Get(_ context.Context, ref directory.Ref) (directory.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return directory.Document{}, s.fail
	}
	d, ok := s.docs[ref]
	if !ok {
		return d, fmt.Errorf("get %s: %w", ref, directory.ErrNotFound)
	}
	return d, nil
}

func (s *store) List(_ context.Context, domain string, kind directory.Kind, q directory.Query) ([]directory.Document, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, "", s.fail
	}
	var out []directory.Document
	for ref, d := range s.docs {
		if ref.Domain != domain || ref.Kind != kind || ref.Name <= q.Cursor && q.Cursor != "" {
			continue
		}
		if q.Q == "" || strings.Contains(strings.ToLower(ref.Name+string(d.Body)), strings.ToLower(q.Q)) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b directory.Document) int { return cmp.Compare(a.Name, b.Name) })
	if q.Limit > 0 && len(out) > q.Limit {
		return out[:q.Limit], out[q.Limit-1].Name, nil
	}
	return out, "", nil
}

func (s *store) Apply(_ context.Context, a directory.Author, ws []directory.Write) ([]directory.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	for _, w := range ws {
		now, ok := s.docs[w.Ref]
		switch {
		case w.Create && ok:
			return nil, directory.ErrExists
		case !w.IfMatch.IsZero() && now.Version != w.IfMatch:
			return nil, directory.ErrVersion
		case w.Body == nil && !ok:
			return nil, directory.ErrNotFound
		}
	}
	for _, w := range slices.Clone(ws) {
		if w.Body != nil {
			continue
		}
		deps, err := directory.Dependents(view{s}, w.Ref)
		if err != nil {
			return nil, err
		}
		for _, dep := range deps {
			if _, ok := s.docs[dep]; ok {
				ws = append(ws, directory.Write{Ref: dep})
			}
		}
	}
	if err := directory.Check(view{s}, ws); err != nil {
		return nil, err
	}
	out := make([]directory.Document, 0, len(ws))
	for _, w := range ws {
		s.n++
		d := directory.Document{Ref: w.Ref, Version: directory.Version{Epoch: 1, N: s.n}, Body: bytes.Clone(w.Body), At: time.Now().UTC(), Actor: a.Actor, From: a.From}
		if w.Body == nil {
			delete(s.docs, w.Ref)
		} else {
			s.docs[w.Ref] = d
		}
		if w.Kind != directory.KindSignIn && w.Kind != directory.KindCredential && w.Kind != directory.KindTrunkKey {
			s.past[w.Ref] = append([]directory.Document{d}, s.past[w.Ref]...)
		}
		s.stream.Publish(feed.SettingChanged{At: d.At, Domain: w.Domain, Kind: string(w.Kind), Name: w.Name, Version: s.n, Deleted: w.Body == nil, Actor: a.Actor})
		out = append(out, d)
	}
	return out, nil
}

func (s *store) Check(_ context.Context, ws []directory.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.fail, directory.Check(view{s}, ws))
}

func (s *store) History(_ context.Context, ref directory.Ref, limit int, cursor string) ([]directory.Document, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, _ := strconv.Atoi(cursor)
	all := s.past[ref]
	all = all[min(from, len(all)):]
	if len(all) > limit {
		return all[:limit], strconv.Itoa(from + limit), nil
	}
	return all, "", nil
}

// A view is the store inside a transaction.
type view struct{ s *store }

func (v view) Get(ref directory.Ref) (directory.Document, bool, error) {
	d, ok := v.s.docs[ref]
	return d, ok, nil
}

func (v view) Find(key directory.Key) ([]directory.Ref, error) {
	var out []directory.Ref
	for ref, d := range v.s.docs {
		if slices.Contains(directory.Keys(ref, d.Body), key) {
			out = append(out, ref)
		}
	}
	return out, nil
}

func (v view) List(domain string, kind directory.Kind) iter.Seq2[directory.Ref, error] {
	return func(yield func(directory.Ref, error) bool) {
		for ref := range v.s.docs {
			if ref.Domain == domain && (kind == "" || ref.Kind == kind) && !yield(ref, nil) {
				return
			}
		}
	}
}

// Ladder is one message of every call.
func (s *store) Ladder(c *feed.Call) []feed.Message {
	return []feed.Message{{At: c.Started, Transport: "UDP", First: "INVITE sip:1002@bellhop.test SIP/2.0", Text: "INVITE sip:1002@bellhop.test SIP/2.0\r\n"}}
}

func (s *store) SaveSession(_ context.Context, ss directory.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[ss.Hash] = ss
	return s.fail
}

func (s *store) Session(_ context.Context, h string) (directory.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ss, ok := s.sessions[h]
	if !ok {
		return ss, directory.ErrNotFound
	}
	return ss, s.fail
}

func (s *store) Sessions(_ context.Context, domain, user string) ([]directory.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []directory.Session
	for ss := range maps.Values(s.sessions) {
		if ss.Domain == domain && ss.User == user {
			out = append(out, ss)
		}
	}
	return out, s.fail
}

func (s *store) TouchSession(_ context.Context, h string, seen time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ss, ok := s.sessions[h]; ok {
		ss.LastSeen = seen
		s.sessions[h] = ss
	}
	return s.fail
}

func (s *store) DeleteSession(_ context.Context, h string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, h)
	return s.fail
}

func (s *store) SaveToken(_ context.Context, t directory.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old := range maps.Values(s.tokens) {
		if old.Hash != t.Hash && old.Name == t.Name && old.Domain == t.Domain {
			return directory.ErrExists
		}
	}
	s.tokens[t.Hash] = t
	return s.fail
}

func (s *store) Token(_ context.Context, h string) (directory.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens[h]
	if !ok {
		return t, directory.ErrNotFound
	}
	return t, s.fail
}

func (s *store) Tokens(_ context.Context, domain string) ([]directory.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []directory.Token
	for t := range maps.Values(s.tokens) {
		if t.Domain == domain {
			out = append(out, t)
		}
	}
	return out, s.fail
}

func (s *store) TouchToken(_ context.Context, h string, used time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tokens[h]; ok {
		t.LastUsed = used
		s.tokens[h] = t
	}
	return s.fail
}

func (s *store) DeleteToken(_ context.Context, h string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, h)
	return s.fail
}

func (s *store) Live(domain string) []*feed.Call {
	return slices.DeleteFunc(slices.Clone(s.live), func(c *feed.Call) bool { return c.Domain != domain })
}

func (s *store) ByID(id string) (*feed.Call, bool) {
	i := slices.IndexFunc(s.live, func(c *feed.Call) bool { return c.ID == id })
	if i < 0 {
		return nil, false
	}
	return s.live[i], true
}

func (s *store) HangUp(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hang == nil {
		s.hung = append(s.hung, id)
	}
	return s.hang
}

func (s *store) Status(domain, name string) (feed.TrunkStatus, bool) {
	st, ok := s.trunks[domain+"/"+name]
	return st, ok
}

func (s *store) Records(_ context.Context, domain string, f feed.Filter) ([]*feed.Call, string, error) {
	var out []*feed.Call
	for _, c := range s.ended {
		ours := len(f.Numbers) == 0 || slices.Contains(f.Numbers, c.Caller) || slices.Contains(f.Numbers, c.Called) || slices.Contains(f.Numbers, c.Number)
		if c.Domain == domain && ours && !c.Started.Before(f.From) && (f.To.IsZero() || c.Started.Before(f.To)) {
			out = append(out, c)
		}
	}
	return out, "", s.fail
}

func (s *store) Record(_ context.Context, domain, id string) (*feed.Call, error) {
	for _, c := range s.ended {
		if c.Domain == domain && c.ID == id {
			return c, nil
		}
	}
	return nil, directory.ErrNotFound
}

func (s *store) Registrations(_ context.Context, domain, number string) ([]feed.Registration, error) {
	return slices.DeleteFunc(slices.Clone(s.bindings), func(r feed.Registration) bool {
		return r.Domain != domain || number != "" && r.Number != number
	}), s.fail
}

func (s *store) Load(_ context.Context, need routing.Need, w *routing.World) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok, err := routing.Compile(view{s}, need); ok {
		if err == nil {
			w.Put(need, a)
		}
		return errors.Join(err, s.fail)
	}
	switch need.Kind {
	case routing.NeedBindings:
		w.PutBindings(need.Domain, need.Key, s.targets(need.Domain, need.Key), false)
	case routing.NeedIdle:
		w.PutIdle(need.Domain, need.Key, time.Time{})
	case routing.NeedUsage:
		w.PutUsage(need.Domain, need.Key, routing.Usage{})
	case routing.NeedCalls:
		w.PutCalls(need.Domain, need.Key, 0)
	default:
	}
	return nil
}

func (s *store) targets(domain, number string) []ring.Target {
	var out []ring.Target
	for _, r := range s.bindings {
		if r.Domain == domain && r.Number == number {
			out = append(out, ring.Target{Device: r.Device, Instance: r.Contact, Contact: r.Contact, Q: 1000})
		}
	}
	return out
}

// sealer writes the secret backwards behind what it is for.
type sealer struct{}

func (sealer) Seal(purpose string, plain, aad []byte) ([]byte, error) {
	b := slices.Clone(plain)
	slices.Reverse(b)
	return append([]byte(purpose+"|"+string(aad)+"|"), b...), nil
}

// node is a daemon.
type node struct {
	mu     sync.Mutex // guards what follows
	status control.NodeStatus
	reload error
	drain  error
	level  slog.Level
}

func (n *node) Drain(context.Context) error { return n.setDrain(true) }

func (n *node) Undrain(context.Context) error { return n.setDrain(false) }

func (n *node) setDrain(on bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.drain != nil {
		return n.drain
	}
	n.status.Draining, n.status.Ready, n.status.Drain = on, !on, nil
	if on {
		n.status.Drain = &control.DrainStatus{Ringing: 2, Calls: 3}
	}
	return nil
}

func (n *node) Status() control.NodeStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}

func (n *node) Reload(context.Context) (control.ReloadReport, error) {
	return control.ReloadReport{Applied: []string{"log.level"}, Waiting: []string{"sip.listeners"}}, n.reload
}

func (n *node) SetLog(level slog.Level, _ string, _ time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.level = level
	return nil
}
