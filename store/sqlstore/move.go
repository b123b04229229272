package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
)

// ErrFilled reports a database to move to that has something in it.
var ErrFilled = errors.New("sqlstore: there is something in the database already")

// Move copies all that is in the SQLite database at file, or in a copy that [Backup]
// made, into the empty PostgreSQL of o, in one transaction: all of it is there
// afterwards, or nothing, whenever the process dies. The epoch is raised, as by
// [Restore]; the file stays as it is. It returns how many rows there were, and tells
// of each table. No daemon may have the file or the folder of the journal open:
// [ErrInUse]. Errors are those of [New] and [ErrFilled].
func Move(ctx context.Context, file string, o Options, tell func(table string, rows int64)) (rows int64, err error) {
	if _, err := os.Stat(file); err != nil { // it would be made
		return 0, fmt.Errorf("sqlstore: move: %w", err)
	}
	from := &Store{}
	if err := from.take(file); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, from.give()) }()
	tmp := file + ".moving" // has the schema of this release, and nothing in a WAL
	if err := remove(tmp); err != nil {
		return 0, fmt.Errorf("sqlstore: move: %w", err)
	}
	defer func() { err = errors.Join(err, remove(tmp)) }()
	if _, err := Backup(ctx, file, tmp, nil); err != nil {
		return 0, err
	}
	if err := raise(ctx, tmp, 0); err != nil {
		return 0, err
	}
	to, err := New(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Close()) }() //nolint:contextcheck // it has a time of its own
	m := &move{tell: tell}
	if m.from, err = sql.Open("sqlite", dsn(tmp, false)); err != nil {
		return 0, fmt.Errorf("sqlstore: move: %w", err)
	}
	defer func() { err = errors.Join(err, m.from.Close()) }()
	conf := to.seat.conf.Copy()
	conf.RuntimeParams["statement_timeout"], conf.RuntimeParams["idle_in_transaction_session_timeout"] = "0", "0"
	c, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return 0, fmt.Errorf("sqlstore: move: %w", err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }() // what counts is committed
	if err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { m.to = tx; return m.all(ctx) }); err != nil {
		return 0, fmt.Errorf("sqlstore: move: %w", err)
	}
	return m.rows, nil
}

// remove removes a database and what SQLite has beside it.
func remove(path string) error {
	for _, suffix := range []string{"", ".tmp", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// move is a move under way.
type move struct {
	from *sql.DB
	to   pgx.Tx
	tell func(table string, rows int64)
	rows int64
}

func (m *move) all(ctx context.Context) error {
	if _, err := m.to.Exec(ctx, "LOCK TABLE documents, history, records IN EXCLUSIVE MODE"); err != nil {
		return err
	}
	var filled bool
	if err := m.to.QueryRow(ctx, "SELECT EXISTS (SELECT FROM documents) OR EXISTS (SELECT FROM history) OR EXISTS (SELECT FROM records)").Scan(&filled); err != nil {
		return err
	}
	if filled {
		return ErrFilled
	}
	// meta and keys say what this database is, not what is in it.
	tables, err := column[string](ctx, m.to, `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()
		AND table_type = 'BASE TABLE' AND table_name NOT IN ('meta', 'keys', $1) ORDER BY table_name`, goose.TableName())
	if err != nil {
		return err
	}
	for _, t := range tables {
		n, err := m.table(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		m.rows += n
		if m.tell != nil {
			m.tell(t, n)
		}
	}
	var epoch int64 // raised in the copy
	if err := m.from.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'epoch'").Scan(&epoch); err != nil {
		return err
	}
	_, err = m.to.Exec(ctx, "UPDATE meta SET value = GREATEST(value, $1) WHERE name = 'epoch'", epoch)
	return err
}

// table copies a table. Names are those of our migrations.
func (m *move) table(ctx context.Context, name string) (int64, error) {
	const of = " FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
	columns, err := column[string](ctx, m.to, "SELECT column_name"+of, name)
	if err != nil {
		return 0, err
	}
	types, err := column[string](ctx, m.to, "SELECT data_type"+of, name)
	if err != nil {
		return 0, err
	}
	if _, err := m.to.Exec(ctx, "DELETE FROM "+name); err != nil {
		return 0, err
	}
	rows, err := m.from.QueryContext(ctx, "SELECT ["+strings.Join(columns, "],[")+"] FROM "+name) //nolint:gosec // see above
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n, err := m.to.CopyFrom(ctx, pgx.Identifier{name}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		if !rows.Next() {
			return nil, rows.Err()
		}
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i, v := range row { // SQLite has texts among bytes
			if text, ok := v.(string); ok && types[i] == "bytea" {
				row[i] = []byte(text)
			}
		}
		return row, nil
	}))
	if err != nil {
		return 0, err
	}
	counted, err := column[string](ctx, m.to, "SELECT column_name"+strings.Replace(of, "ORDER BY", "AND is_identity = 'YES' ORDER BY", 1), name)
	if err != nil {
		return 0, err
	}
	for _, c := range counted {
		if _, err := m.to.Exec(ctx, "SELECT setval(pg_get_serial_sequence($1, $2), (SELECT COALESCE(MAX("+c+"), 0) + 1 FROM "+name+"), false)", name, c); err != nil { //nolint:gosec // see above
			return 0, err
		}
	}
	return n, nil
}

// column returns the rows of a query that has one column.
func column[T any](ctx context.Context, tx pgx.Tx, query string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}
