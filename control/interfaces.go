package control

import (
	"context"
	"errors"
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
	// Check returns the error that Apply would return now, and writes nothing.
	Check(ctx context.Context, ws []directory.Write) error
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

// Hanger ends calls; sip/b2bua implements it.
type Hanger interface {
	// HangUp ends the call with an id ([feed.Call.ID]): what rings is cancelled,
	// who talks gets BYE. It returns when that was sent. An error of a call that
	// is not live is that it ended before.
	HangUp(ctx context.Context, id string) error
}

// Ladder has the SIP messages of calls; sip implements it.
type Ladder interface {
	// Ladder returns the messages of a call that are still kept, oldest first.
	Ladder(c *feed.Call) []feed.Message
}

// Trunks tells how trunks are; sip/trunk implements it.
type Trunks interface {
	// Status reports false for a trunk that is not known, or not yet.
	Status(domain, name string) (feed.TrunkStatus, bool)
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
	// Drain refuses new calls, [Node.Undrain] takes them again. Both return at
	// once; [ErrStopping] when the node is on its way down.
	Drain(ctx context.Context) error
	Undrain(ctx context.Context) error
	// SetLog changes what is logged until a time; the zero time is for good.
	SetLog(level slog.Level, match string, until time.Time) error
}

// ErrStopping reports that the node stops and cannot be told otherwise.
var ErrStopping = errors.New("control: the node stops")

// NodeStatus is how a node is. Reasons say what is degraded; it is Ready while
// new calls can be served here.
type NodeStatus struct {
	Name     string        `json:"name"`
	Version  string        `json:"version"`
	Started  time.Time     `json:"started"`
	Ready    bool          `json:"ready" doc:"new calls are served here"`
	Draining bool          `json:"draining"`
	Drain    *DrainStatus  `json:"drain,omitempty" doc:"while it drains"`
	Reasons  []feed.Reason `json:"reasons,omitempty" doc:"what does not work as it should"`
	Listen   []string      `json:"listen,omitempty" doc:"addresses it listens on"`
	Config   string        `json:"config,omitempty" doc:"when and whether the last reload was applied"`
}

// A DrainStatus says how far a drain is.
type DrainStatus struct {
	Since    time.Time `json:"since"`
	Stopping bool      `json:"stopping" doc:"the process ends when nothing rings, or after drain_timeout; an operator's drain goes on until undrain"`
	Ringing  int       `json:"ringing" doc:"numbers that still ring: calls that would be lost with the process"`
	Calls    int       `json:"calls" doc:"calls that are up"`
}

// A ReloadReport says what a reload applied at once and what waits for a restart.
type ReloadReport struct {
	Applied []string `json:"applied"`
	Waiting []string `json:"waiting" doc:"changed, but in force only after a restart"`
}
