package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/store/binding"
)

// A change is a settings transaction of a domain.
type change struct {
	domain  string
	version directory.Version
}

// followRows is how many changed documents are followed one by one; more, and
// all of their domains are forgotten.
const followRows = 1000

// announce begins a settings transaction where others write as well. Writers of
// what is checked across domains come one after the other; who listens is told
// at the commit.
func (s *Store) announce(ctx context.Context, tx *sql.Tx, ws []directory.Write) error {
	system := slices.ContainsFunc(ws, func(w directory.Write) bool {
		return w.Kind == directory.KindDomain || w.Kind == directory.KindTrunk || w.Kind == directory.KindNumber
	})
	if system {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock"+lockKey(lockSystem)); err != nil {
			return fmt.Errorf("sqlstore: lock: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, "SELECT pg_notify('"+channel+"', '')"); err != nil {
		return fmt.Errorf("sqlstore: notify: %w", err)
	}
	return nil
}

// written notes what we wrote, which is not followed.
func (s *Store) written(docs []directory.Document) {
	if s.known == nil {
		return
	}
	if s.ours == nil {
		s.ours = make(map[change]bool)
	}
	for i := range docs {
		s.ours[change{docs[i].Domain, docs[i].Version}] = true
	}
}

// follow makes what is in memory follow what other nodes wrote. The versions of
// domains say what is new: they are in the order of the commits, the ids of the
// history are not.
func (s *Store) follow(ctx context.Context) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	now, err := s.Versions(ctx)
	if err != nil {
		return err
	}
	var docs []directory.Document
	unknown := false // what changed
	for domain, v := range now {
		was := s.known[domain]
		if was == v {
			continue
		}
		if was.IsZero() {
			was.Epoch = v.Epoch
		}
		unknown = unknown || was.Epoch != v.Epoch || was.N > v.N || len(docs) > followRows // the database was restored, or much is new
		if unknown {
			break
		}
		more, err := s.Changes(ctx, domain, was, followRows+1)
		if err != nil {
			return err
		}
		for _, d := range more {
			if d.Version.Compare(v) <= 0 { // later ones are for the next time
				docs = append(docs, d)
			}
		}
	}
	if unknown || len(docs) > followRows {
		if err := s.Cache.Compare(ctx, now); err != nil {
			return err
		}
	} else {
		docs = slices.DeleteFunc(docs, func(d directory.Document) bool { return s.ours[change{d.Domain, d.Version}] })
		s.Cache.Forget(docs)
		s.Cache.Agree(now)
		s.obey(ctx, docs)
	}
	s.known = now
	clear(s.ours)
	return nil
}

// maxPayload is how long a notification may be, in bytes; PostgreSQL takes less
// than 8000.
const maxPayload = 7000

// announceBindings tells others which rows are saved, at the commit: our number,
// then a line for each with domain, user, version, and "-" when it is gone. They
// read the rest.
func (s *Store) announceBindings(ctx context.Context, tx *sql.Tx, rows []binding.Row) error {
	head := strconv.Itoa(int(s.seat.number))
	var b strings.Builder
	send := func() error {
		if b.Len() == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, "SELECT pg_notify('"+channel+"', ?)", head+b.String())
		b.Reset()
		if err != nil {
			return fmt.Errorf("sqlstore: notify: %w", err)
		}
		return nil
	}
	for i := range rows {
		r := &rows[i]
		gone := ""
		if r.Packed == "" {
			gone = "\t-"
		}
		line := "\n" + r.AOR.Domain() + "\t" + r.AOR.User() + "\t" + strconv.FormatUint(r.Version, 10) + gone
		if b.Len()+len(line) > maxPayload {
			if err := send(); err != nil {
				return err
			}
		}
		b.WriteString(line)
	}
	return send()
}

// learnOne learns a row, unless a newer release wrote it.
func (s *Store) learnOne(ctx context.Context, r binding.Row) error {
	if err := s.Bindings.Learn(ctx, r); !errors.Is(err, location.ErrFormat) {
		return err
	}
	return nil
}

// learn learns the bindings that another node announced. What cannot be read is
// of a newer release, and of no use here.
func (s *Store) learn(ctx context.Context, payload string) error {
	head, lines, _ := strings.Cut(payload, "\n")
	if head == strconv.Itoa(int(s.seat.number)) {
		return nil
	}
	var where []any
	for line := range strings.SplitSeq(lines, "\n") {
		f := strings.Split(line, "\t")
		if len(f) < 3 {
			continue
		}
		a, err := location.NewAOR(f[1], f[0])
		if err != nil {
			continue
		}
		version, err := strconv.ParseUint(f[2], 10, 64)
		if err != nil {
			continue
		}
		if len(f) > 3 {
			if err := s.learnOne(ctx, binding.Row{AOR: a, Version: version}); err != nil {
				return err
			}
			continue
		}
		where = append(where, a.Domain(), a.User())
	}
	if len(where) == 0 {
		return nil
	}
	return s.eachBinding(ctx, s.db.read, func(r binding.Row) error { return s.learnOne(ctx, r) },
		`(domain, "user") IN (`+placeholders(len(where)/2, 2)+")", where...)
}
