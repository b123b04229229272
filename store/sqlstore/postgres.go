package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Errors of a database that is reached over a network.
var (
	errStalled = errors.New("the database does not answer")
	errAway    = errors.New("the database cannot be reached")
)

// restFor is how long a database is left alone that could not be reached.
const restFor = time.Second

// PostgreSQL says how a database is reached that several nodes share.
type PostgreSQL struct {
	// URL is postgres://user@host/database?sslmode=verify-full or alike.
	URL      string
	Password string // in place of one in the URL
	// Connections is how many there are at most, one that listens besides; 0: 10.
	Connections int
	// Timeout is how long the database may be silent; 0: 5 s.
	Timeout time.Duration
}

// parse reads the URL. What it says of a password is not in its errors.
func (p PostgreSQL) parse(node uint16) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(p.URL)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	if p.Password != "" {
		c.Password = p.Password
	}
	c.ConnectTimeout = p.timeout()
	maps.Copy(c.RuntimeParams, map[string]string{
		"application_name":              "bellhop-" + strconv.Itoa(int(node)),
		"client_encoding":               "UTF8",
		"default_transaction_isolation": "read committed",
		// What hangs is given up there before it is here, and what a node left
		// when it died holds no lock for long.
		"statement_timeout":                   strconv.FormatInt((p.timeout() * 4 / 5).Milliseconds(), 10),
		"idle_in_transaction_session_timeout": strconv.FormatInt((2 * p.timeout()).Milliseconds(), 10),
		"tcp_keepalives_idle":                 "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3",
	})
	return c, nil
}

func (p PostgreSQL) timeout() time.Duration {
	if p.Timeout > 0 {
		return p.Timeout
	}
	return 5 * time.Second
}

func (p PostgreSQL) connections() int {
	if p.Connections > 0 {
		return p.Connections
	}
	return 10
}

// A pool makes connections, unless the database was away a moment ago: then who
// wants one is told so at once. It implements [driver.Connector].
type pool struct {
	driver.Connector

	mu     sync.Mutex
	until  time.Time // nobody tries before it
	trying bool      // somebody tries whether it is back
	cause  error     // why it is away; nil: it is not
}

// open returns the connections for statements.
func (p PostgreSQL) open(c *pgx.ConnConfig) *sql.DB {
	c = c.Copy()
	to := &pool{}
	dial := &net.Dialer{Timeout: p.timeout()}
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &guard{Conn: nc, limit: p.timeout(), stalled: func() { to.away(errStalled) }}, nil
	}
	to.Connector = stdlib.GetConnector(*c)
	db := sql.OpenDB(to)
	db.SetMaxOpenConns(p.connections())
	db.SetMaxIdleConns(p.connections())
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour)
	return db
}

// Connect implements [driver.Connector].
func (p *pool) Connect(ctx context.Context) (driver.Conn, error) {
	p.mu.Lock()
	if p.cause != nil && (p.trying || time.Now().Before(p.until)) {
		err := p.cause
		p.mu.Unlock()
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	p.trying = p.cause != nil
	p.mu.Unlock()

	c, err := p.Connector.Connect(ctx)
	if err != nil {
		p.away(err)
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	p.mu.Lock()
	p.cause, p.trying = nil, false
	p.mu.Unlock()
	return &conn{c.(*stdlib.Conn), p}, nil //nolint:forcetypeassert // it makes no others
}

// silent reports whether the database did not answer a moment ago.
func (p *pool) silent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Is(p.cause, errStalled) && time.Now().Before(p.until)
}

// away notes why the database cannot be reached.
func (p *pool) away(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cause, p.trying, p.until = err, false, time.Now().Add(restFor)
}

// A conn writes parameters as PostgreSQL has them, and takes the types of
// arguments that SQLite takes. What certainly was not done is tried again by
// database/sql, on another connection.
type conn struct {
	*stdlib.Conn

	pool *pool
}

// ResetSession implements [driver.SessionResetter]: a connection to a database
// that was silent a moment ago is not tried.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.pool.silent() {
		return driver.ErrBadConn
	}
	return c.Conn.ResetSession(ctx)
}

// PrepareContext implements [driver.ConnPrepareContext]. The statement is prepared
// by the driver when it is used, once per connection.
func (c *conn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return &stmt{c, numbered(query)}, nil
}

// Prepare implements [driver.Conn].
func (c *conn) Prepare(query string) (driver.Stmt, error) { return &stmt{c, numbered(query)}, nil }

// BeginTx implements [driver.ConnBeginTx].
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.BeginTx(ctx, o)
	if err != nil && c.gone() {
		return nil, driver.ErrBadConn
	}
	return tx, err
}

// ExecContext implements [driver.ExecerContext].
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.ExecContext(ctx, numbered(query), args)
}

// QueryContext implements [driver.QueryerContext].
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.query(ctx, numbered(query), args)
}

func (c *conn) query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	alone := !c.gone() && c.Conn.Conn().PgConn().TxStatus() == 'I'
	rows, err := c.Conn.QueryContext(ctx, query, args)
	if err != nil && alone && c.gone() && ctx.Err() == nil && strings.HasPrefix(query, "SELECT") {
		return nil, driver.ErrBadConn
	}
	return rows, err
}

// gone reports whether the connection is over.
func (c *conn) gone() bool { return c.Conn.Conn().IsClosed() }

// CheckNamedValue implements [driver.NamedValueChecker]. A text that PostgreSQL
// does not take is not in it either: whoever asks for one, such as a phone with a
// strange name, finds nothing, and that is no fault of the database.
func (c *conn) CheckNamedValue(v *driver.NamedValue) (err error) {
	v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value)
	if s, ok := v.Value.(string); ok && (strings.ContainsRune(s, 0) || !utf8.ValidString(s)) {
		v.Value = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	}
	return err
}

// A stmt is a statement whose parameters are numbered.
type stmt struct {
	c     *conn
	query string
}

// Close implements [driver.Stmt].
func (*stmt) Close() error { return nil }

// NumInput implements [driver.Stmt].
func (*stmt) NumInput() int { return -1 }

// Exec implements [driver.Stmt]; database/sql uses ExecContext.
func (*stmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// Query implements [driver.Stmt]; database/sql uses QueryContext.
func (*stmt) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// ExecContext implements [driver.StmtExecContext].
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.c.Conn.ExecContext(ctx, s.query, args)
}

// QueryContext implements [driver.StmtQueryContext].
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.c.query(ctx, s.query, args)
}

// numbered writes the parameters "?" and "?2" of a query as "$1" and "$2". Text
// in quotes stays as it is.
func numbered(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	b := make([]byte, 0, len(query)+len(query)/4)
	quoted := byte(0)
	for i, n := 0, 0; i < len(query); i++ {
		c := query[i]
		switch {
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
			b = append(b, c)
		case c == '\'' || c == '"':
			quoted = c
			b = append(b, c)
		case c != '?':
			b = append(b, c)
		default:
			b = append(b, '$')
			if i+1 == len(query) || query[i+1] < '0' || query[i+1] > '9' {
				n++
				b = strconv.AppendInt(b, int64(n), 10)
			}
		}
	}
	return string(b)
}

// A guard gives a connection up on which the database is silent for too long
// while it is waited for: the driver would wait for ever.
type guard struct {
	net.Conn
	limit   time.Duration
	stalled func()

	mu    sync.Mutex
	until time.Time // what the driver set; zero: nothing
}

// Read implements [net.Conn].
func (g *guard) Read(b []byte) (int, error) {
	if err := g.arm(g.SetReadDeadline); err != nil {
		return 0, err
	}
	n, err := g.Conn.Read(b)
	return n, g.judge(err)
}

// Write implements [net.Conn].
func (g *guard) Write(b []byte) (int, error) {
	if err := g.arm(g.SetWriteDeadline); err != nil {
		return 0, err
	}
	n, err := g.Conn.Write(b)
	return n, g.judge(err)
}

// SetDeadline implements [net.Conn].
func (g *guard) SetDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = t
	return g.Conn.SetDeadline(t)
}

// arm sets what comes first, the limit or what the driver set.
func (g *guard) arm(set func(time.Time) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := time.Now().Add(g.limit)
	if !g.until.IsZero() && g.until.Before(at) {
		at = g.until
	}
	return set(at)
}

// judge tells a silent database from a deadline of the driver.
func (g *guard) judge(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	g.mu.Lock()
	due := !g.until.IsZero() && !time.Now().Before(g.until)
	g.mu.Unlock()
	if due {
		return err
	}
	g.stalled()
	return errors.Join(errStalled, g.Close())
}

// again reports whether a transaction that failed so is to be tried again: it
// met another one, which is over now.
func again(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch e.Code {
	case "40001", "40P01", // serialization failure, deadlock
		"23505": // a key that somebody else took: the second look says so in words
		return true
	default:
		return false
	}
}

// pgWords says what an error of PostgreSQL means, "" when it is none.
func pgWords(err error) string {
	switch {
	case errors.Is(err, errStalled):
		return errStalled.Error()
	case pgconn.Timeout(err):
		return "the database is too slow"
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		_, dialed := errors.AsType[*pgconn.ConnectError](err)
		_, network := errors.AsType[net.Error](err)
		if dialed || network || errors.Is(err, errAway) || errors.Is(err, driver.ErrBadConn) {
			return errAway.Error()
		}
		return ""
	}
	switch {
	case e.Code == "53100":
		return "the disk of the database is full"
	case e.Code == "53300":
		return "the database has too many connections"
	case e.Code == "25006":
		return "the database is read-only: a standby"
	case strings.HasPrefix(e.Code, "28"):
		return "the database refuses this user or its password"
	case e.Code == "3D000":
		return "there is no such database"
	case e.Code == "42501":
		return "the database does not permit it to this user"
	case strings.HasPrefix(e.Code, "57P"):
		return "the database stops or starts"
	case e.Code == "57014" || e.Code == "55P03":
		return "the database is too slow"
	default:
		return ""
	}
}
