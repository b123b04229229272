package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"bellhop/routing/directory"
	"bellhop/store/document"
)

// view is a transaction as [directory.View] sees it. Its functions are bound to
// the context of the transaction.
type view struct {
	get  func(args ...any) *sql.Row
	find func(args ...any) (*sql.Rows, error)
	row  func(query string, args ...any) *sql.Row
	rows func(query string, args ...any) (*sql.Rows, error)
	exec func(query string, args ...any) (sql.Result, error)
	// told says that others read the history: it has a row of a secret too then,
	// without the secret.
	told bool
}

// viewStmts are what views ask most, prepared.
type viewStmts struct{ get, find *sql.Stmt }

const (
	getQuery  = "SELECT " + documentColumns + " FROM documents WHERE domain = ? AND kind = ? AND name = ?"
	findQuery = "SELECT domain, kind, name FROM document_keys WHERE ix = ? AND value = ?"
)

// prepareView prepares what views ask most on db.
func prepareView(ctx context.Context, db *sql.DB) (st viewStmts, err error) {
	if st.get, err = db.PrepareContext(ctx, getQuery); err != nil {
		return st, fmt.Errorf("sqlstore: prepare: %w", err)
	}
	if st.find, err = db.PrepareContext(ctx, findQuery); err != nil {
		return st, fmt.Errorf("sqlstore: prepare: %w", err)
	}
	return st, nil
}

// viewOf returns the directory as tx sees it; st are prepared on its database.
func viewOf(ctx context.Context, tx *sql.Tx, st viewStmts) *view {
	get, find := tx.StmtContext(ctx, st.get), tx.StmtContext(ctx, st.find)
	return &view{
		get:  func(args ...any) *sql.Row { return get.QueryRowContext(ctx, args...) },
		find: func(args ...any) (*sql.Rows, error) { return find.QueryContext(ctx, args...) },
		row:  func(q string, args ...any) *sql.Row { return tx.QueryRowContext(ctx, q, args...) },
		rows: func(q string, args ...any) (*sql.Rows, error) { return tx.QueryContext(ctx, q, args...) },
		exec: execOf(ctx, tx),
	}
}

// execOf runs statements in tx and prepares each but once: an import writes tens of
// thousands of documents with a handful of them. They end with tx.
func execOf(ctx context.Context, tx *sql.Tx) func(q string, args ...any) (sql.Result, error) {
	prepared := map[string]*sql.Stmt{}
	return func(q string, args ...any) (sql.Result, error) {
		st := prepared[q]
		if st == nil {
			var err error
			if st, err = tx.PrepareContext(ctx, q); err != nil {
				return nil, err
			}
			prepared[q] = st
		}
		return st.ExecContext(ctx, args...)
	}
}

// documentColumns are what scanDocument reads.
const documentColumns = "domain, kind, name, epoch, n, at, actor, source, body"

func scanDocument(scan func(...any) error) (doc directory.Document, err error) {
	var at int64
	err = scan(&doc.Domain, &doc.Kind, &doc.Name, &doc.Version.Epoch, &doc.Version.N, &at, &doc.Actor, &doc.From, &doc.Body)
	doc.At = time.UnixMilli(at).UTC()
	return doc, err
}

// Get implements [directory.View].
func (v *view) Get(ref directory.Ref) (directory.Document, bool, error) {
	doc, err := scanDocument(v.get(ref.Domain, string(ref.Kind), ref.Name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return directory.Document{}, false, nil
	}
	if err != nil {
		return directory.Document{}, false, fmt.Errorf("sqlstore: get %s: %w", ref, err)
	}
	return doc, true, nil
}

// Find implements [directory.View].
func (v *view) Find(key directory.Key) (refs []directory.Ref, err error) {
	rows, err := v.find(string(key.Index), key.Value)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: find %s %s: %w", key.Index, key.Value, err)
	}
	defer rows.Close()
	for rows.Next() {
		var ref directory.Ref
		if err := rows.Scan(&ref.Domain, &ref.Kind, &ref.Name); err != nil {
			return nil, fmt.Errorf("sqlstore: find: %w", err)
		}
		refs = append(refs, ref)
	}
	return refs, rows.Err()
}

// List implements [directory.View]. It reads all names before it yields any,
// since a view has one connection.
func (v *view) List(domain string, kind directory.Kind) iter.Seq2[directory.Ref, error] {
	return func(yield func(directory.Ref, error) bool) {
		refs, err := v.names(domain, kind)
		if err != nil {
			yield(directory.Ref{}, err)
			return
		}
		for _, ref := range refs {
			if !yield(ref, nil) {
				return
			}
		}
	}
}

func (v *view) names(domain string, kind directory.Kind) (refs []directory.Ref, err error) {
	query, args := "SELECT kind, name FROM documents WHERE domain = ?", []any{domain}
	if kind != "" {
		query, args = query+" AND kind = ?", append(args, string(kind))
	}
	rows, err := v.rows(query, args...)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: list: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		ref := directory.Ref{Domain: domain}
		if err := rows.Scan(&ref.Kind, &ref.Name); err != nil {
			return nil, fmt.Errorf("sqlstore: list: %w", err)
		}
		refs = append(refs, ref)
	}
	return refs, rows.Err()
}

// Bump implements [document.Tx].
func (v *view) Bump(domain string) (ver directory.Version, err error) {
	err = v.row(`INSERT INTO versions (domain, n) VALUES (?, 1) ON CONFLICT (domain) DO UPDATE SET n = versions.n + 1
		RETURNING n, (SELECT value FROM meta WHERE name = 'epoch')`, domain).Scan(&ver.N, &ver.Epoch)
	if err != nil {
		return ver, fmt.Errorf("sqlstore: version of %q: %w", domain, err)
	}
	return ver, nil
}

// Put implements [document.Tx].
func (v *view) Put(doc directory.Document, keys []directory.Key) error {
	if err := v.tell(doc, []byte{}); err != nil {
		return err
	}
	_, err := v.exec(`INSERT INTO documents (`+documentColumns+`) VALUES (?,?,?,?,?,?,?,?,?)
		ON CONFLICT (domain, kind, name) DO UPDATE SET epoch = excluded.epoch, n = excluded.n, at = excluded.at,
		actor = excluded.actor, source = excluded.source, body = excluded.body`, documentArgs(doc)...)
	if err != nil {
		return fmt.Errorf("sqlstore: put: %w", err)
	}
	if err := v.deleteKeys(doc.Ref); err != nil {
		return err
	}
	if len(keys) == 0 {
		return nil
	}
	args := make([]any, 0, 5*len(keys))
	for _, k := range keys {
		args = append(args, string(k.Index), k.Value, doc.Domain, string(doc.Kind), doc.Name)
	}
	if _, err := v.exec("INSERT INTO document_keys (ix, value, domain, kind, name) VALUES "+placeholders(len(keys), 5), args...); err != nil {
		return fmt.Errorf("sqlstore: put keys: %w", err)
	}
	return nil
}

func documentArgs(doc directory.Document) []any {
	return []any{
		doc.Domain, string(doc.Kind), doc.Name, doc.Version.Epoch, int64(doc.Version.N), doc.At.UnixMilli(),
		doc.Actor, doc.From, doc.Body,
	}
}

func (v *view) deleteKeys(ref directory.Ref) error {
	_, err := v.exec("DELETE FROM document_keys WHERE domain = ? AND kind = ? AND name = ?", ref.Domain, string(ref.Kind), ref.Name)
	if err != nil {
		return fmt.Errorf("sqlstore: delete keys: %w", err)
	}
	return nil
}

// tell tells those who read the history that a secret was written, or that it was
// deleted, where body is nil.
func (v *view) tell(doc directory.Document, body []byte) error {
	if !v.told || !document.Secret(doc.Kind) {
		return nil
	}
	doc.Body = body
	return v.Record(doc)
}

// Delete implements [document.Tx].
func (v *view) Delete(doc directory.Document) error {
	if err := v.tell(doc, nil); err != nil {
		return err
	}
	ref := doc.Ref
	_, err := v.exec("DELETE FROM documents WHERE domain = ? AND kind = ? AND name = ?", ref.Domain, string(ref.Kind), ref.Name)
	if err != nil {
		return fmt.Errorf("sqlstore: delete: %w", err)
	}
	return v.deleteKeys(ref)
}

// Record implements [document.Tx].
func (v *view) Record(doc directory.Document) error {
	_, err := v.exec("INSERT INTO history ("+documentColumns+") VALUES (?,?,?,?,?,?,?,?,?)", documentArgs(doc)...)
	if err != nil {
		return fmt.Errorf("sqlstore: history: %w", err)
	}
	return nil
}

// Get returns a document, or [directory.ErrNotFound].
func (s *Store) Get(ctx context.Context, ref directory.Ref) (directory.Document, error) {
	doc, err := scanDocument(s.reading.get.QueryRowContext(ctx, ref.Domain, string(ref.Kind), ref.Name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return directory.Document{}, fmt.Errorf("%s: %w", ref, directory.ErrNotFound)
	}
	if err != nil {
		return directory.Document{}, s.failed("get "+ref.String(), err)
	}
	return doc, nil
}

// List returns a page of the documents of a kind, by name. Secrets are found by
// name only.
func (s *Store) List(ctx context.Context, domain string, kind directory.Kind, q directory.Query) (docs []directory.Document, next string, err error) {
	limit := document.Limit(q.Limit)
	where := "domain = ? AND kind = ? AND name > ?"
	args := []any{domain, string(kind), q.Cursor}
	if q.Q != "" {
		like := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(q.Q) + "%"
		where += ` AND (LOWER(name) LIKE LOWER(?) ESCAPE '\'`
		args = append(args, like)
		if !document.Secret(kind) {
			where += ` OR LOWER(` + s.db.bodyText + `) LIKE LOWER(?) ESCAPE '\'`
			args = append(args, like)
		}
		where += ")"
	}
	docs, err = s.documents(ctx, "SELECT "+documentColumns+" FROM documents WHERE "+where+" ORDER BY name LIMIT ?", append(args, limit+1)...)
	if err != nil {
		return nil, "", s.failed("list", err)
	}
	if len(docs) > limit {
		docs = docs[:limit]
		next = docs[limit-1].Name
	}
	return docs, next, nil
}

// History returns the states a document had, newest first; one with a nil Body
// is a deletion. Secrets have none.
func (s *Store) History(ctx context.Context, ref directory.Ref, limit int, cursor string) (docs []directory.Document, next string, err error) {
	if document.Secret(ref.Kind) {
		return nil, "", nil
	}
	limit = document.Limit(limit)
	before := int64(1<<63 - 1)
	if cursor != "" {
		if before, err = strconv.ParseInt(cursor, 10, 64); err != nil {
			return nil, "", fmt.Errorf("cursor %q: %w", cursor, directory.ErrNotFound)
		}
	}
	rows, err := s.db.read.QueryContext(ctx, "SELECT id, "+documentColumns+` FROM history
		WHERE domain = ? AND kind = ? AND name = ? AND id < ? ORDER BY id DESC LIMIT ?`,
		ref.Domain, string(ref.Kind), ref.Name, before, limit+1)
	if err != nil {
		return nil, "", s.failed("history", err)
	}
	defer rows.Close()
	var id int64
	for rows.Next() {
		if len(docs) == limit {
			return docs, strconv.FormatInt(id, 10), nil
		}
		doc, err := scanDocument(func(to ...any) error { return rows.Scan(append([]any{&id}, to...)...) })
		if err != nil {
			return nil, "", s.failed("history", err)
		}
		docs = append(docs, doc)
	}
	if err := rows.Err(); err != nil {
		return nil, "", s.failed("history", err)
	}
	return docs, "", nil
}

func (s *Store) documents(ctx context.Context, query string, args ...any) (docs []directory.Document, err error) {
	rows, err := s.db.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		doc, err := scanDocument(rows.Scan)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, rows.Err()
}

// Apply makes all writes with their history in one transaction that survives a
// loss of power, and returns the documents as they are then; of a deletion one
// with a nil Body. Errors are those of [document.Apply].
func (s *Store) Apply(ctx context.Context, a directory.Author, ws []directory.Write) ([]directory.Document, error) {
	if len(ws) == 0 {
		return nil, nil
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !s.db.shared { // a file answers; the driver would start a goroutine per statement to see ctx end
		ctx = context.WithoutCancel(ctx)
	}
	var docs []directory.Document
	err := s.db.tx(ctx, powerLoss, func(tx *sql.Tx) (err error) {
		v := viewOf(ctx, tx, s.writing)
		if s.db.shared {
			if err := s.announce(ctx, tx, ws); err != nil {
				return err
			}
			v.told = true
		}
		docs, err = document.Apply(v, time.Now(), a, ws)
		return err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	s.written(docs)
	s.Cache.Forget(docs)
	s.obey(context.WithoutCancel(ctx), docs)
	return docs[:len(ws)], nil
}

// Check returns the error that [Store.Apply] would return now, and writes nothing.
func (s *Store) Check(ctx context.Context, ws []directory.Write) error {
	err := s.Read(ctx, func(v directory.View) error { return document.Check(v, ws) })
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// obey tells of documents that were written, and removes the bindings that have no
// ground any more.
func (s *Store) obey(ctx context.Context, docs []directory.Document) {
	document.Tell(s.feed, docs)
	if err := s.Bindings.Deprovision(ctx, docs); err != nil { // they end by themselves, later
		s.log.LogAttrs(ctx, slog.LevelError, "bindings of deleted devices not removed", slog.Any("error", err))
	}
}

// Read runs f on the directory as it is now, in one read transaction. It is over
// in less than a millisecond and does not follow ctx once it has begun: the
// driver would start a goroutine per statement to see it end.
func (s *Store) Read(ctx context.Context, f func(directory.View) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sqlstore: read: %w", context.Cause(ctx))
	}
	ctx = context.WithoutCancel(ctx)
	tx, err := s.db.read.BeginTx(ctx, s.db.moment)
	if err != nil {
		return s.failed("read", err)
	}
	err = f(viewOf(ctx, tx, s.reading))
	return errors.Join(err, ignoreDone(tx.Rollback()))
}

// failed counts and wraps an error of a read.
func (s *Store) failed(what string, err error) error {
	if !refused(err) && !errors.Is(err, context.DeadlineExceeded) {
		s.db.metrics.errors.Inc()
		s.db.reading.Fail("store", words(err)+": what is not in memory cannot be read")
	}
	return fmt.Errorf("sqlstore: %s: %w", what, unavailable(err))
}

// unavailable marks what is no answer of the directory and not the caller's end,
// but a fault of the database: a disk that is full or gone.
func unavailable(err error) error {
	if refused(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", directory.ErrUnavailable, err)
}
