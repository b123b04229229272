package control

import (
	"context"
	"log/slog"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/directory"
)

// Documents is where everything that is provisioned lives. Errors are, wrapped,
// [directory.ErrNotFound], [directory.ErrVersion], [directory.ErrExists] and
// *[directory.Invalid].
type Documents interface {
	Get(ctx context.Context, ref directory.Ref) (directory.Document, error)
	List(ctx context.Context, domain string, kind directory.Kind, q directory.Query) (docs []directory.Document, next string, err error)
	// Apply makes all writes in one transaction with their history, after
	// [directory.Check], and returns the documents as they are then; of a
	// deletion one with a nil Body.
	Apply(ctx context.Context, a directory.Author, ws []directory.Write) ([]directory.Document, error)
	// History returns the states of a document, newest first; a deletion is a
	// row with a nil Body.
	History(ctx context.Context, ref directory.Ref, limit int, cursor string) (docs []directory.Document, next string, err error)
}

// Sessions keeps sign-ins by the hash of their secret.
type Sessions interface {
	SaveSession(ctx context.Context, s directory.Session) error // creates or replaces by Hash
	Session(ctx context.Context, hash string) (directory.Session, error)
	Sessions(ctx context.Context, domain, user string) ([]directory.Session, error)
	// TouchSession sets Seen of one that is there; of one that is gone it does nothing.
	TouchSession(ctx context.Context, hash string, seen time.Time) error
	DeleteSession(ctx context.Context, hash string) error // one that is not there is no error
}

// Tokens keeps API tokens by the hash of their secret.
type Tokens interface {
	SaveToken(ctx context.Context, t directory.Token) error // creates or replaces by Hash; ErrExists: the name is taken
	Token(ctx context.Context, hash string) (directory.Token, error)
	Tokens(ctx context.Context, domain string) ([]directory.Token, error)
	// TouchToken sets LastUsed of one that is there; of one that is gone it does nothing.
	TouchToken(ctx context.Context, hash string, used time.Time) error
	DeleteToken(ctx context.Context, hash string) error
}

// A Sealer seals secrets for the store; store/keyring implements it.
type Sealer interface {
	Seal(purpose string, plain, aad []byte) ([]byte, error)
}

// Records finds the records of ended calls, newest first, and their stories.
type Records interface {
	Records(ctx context.Context, domain string, f feed.Filter) (calls []*feed.Call, next string, err error)
	Record(ctx context.Context, domain, id string) (*feed.Call, error) // directory.ErrNotFound
}

// Calls are the calls that are up on this node; store/journal implements it.
type Calls interface {
	Live(domain string) []*feed.Call
	ByID(id string) (*feed.Call, bool)
}

// Registrations are the bindings of a domain; number "" means all.
type Registrations interface {
	Registrations(ctx context.Context, domain, number string) ([]feed.Registration, error)
}

// World loads what a decision needs, for POST /v1/explain.
type World interface {
	Load(ctx context.Context, need routing.Need, w *routing.World) error
}

// Node is the daemon itself, for operators.
type Node interface {
	Status() NodeStatus
	// Reload reads the configuration again. On an error the old one stays.
	Reload(ctx context.Context) (ReloadReport, error)
	// SetLog changes what is logged until a time; the zero time is for good.
	SetLog(level slog.Level, match string, until time.Time) error
}

// NodeStatus is how a node is. Reasons say what is degraded; it is Ready while
// new calls can be served here.
type NodeStatus struct {
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Ready    bool      `json:"ready"`
	Draining bool      `json:"draining"`
	Reasons  []Reason  `json:"reasons,omitempty"`
	Listen   []string  `json:"listen,omitempty" doc:"addresses it listens on"`
	Config   string    `json:"config,omitempty" doc:"when and whether the last reload was applied"`
}

// A Reason says what is degraded and since when.
type Reason struct {
	Part   string    `json:"part" example:"store"`
	Detail string    `json:"detail"`
	Since  time.Time `json:"since,omitzero"`
}

// A ReloadReport says what a reload applied at once and what waits for a restart.
type ReloadReport struct {
	Applied []string `json:"applied"`
	Waiting []string `json:"waiting" doc:"changed, but in force only after a restart"`
}
