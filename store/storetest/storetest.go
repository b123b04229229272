// Package storetest is the contract of a store, as tests. Every implementation
// runs it.
package storetest

import (
	"context"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/binding"
	"bellhop/store/cache"
	"bellhop/store/journal"
)

// A Store is what is put to the test, apart from its parts in memory.
type Store interface {
	Get(ctx context.Context, ref directory.Ref) (directory.Document, error)
	List(ctx context.Context, domain string, kind directory.Kind, q directory.Query) (docs []directory.Document, next string, err error)
	Apply(ctx context.Context, a directory.Author, ws []directory.Write) ([]directory.Document, error)
	History(ctx context.Context, ref directory.Ref, limit int, cursor string) (docs []directory.Document, next string, err error)

	SaveSession(ctx context.Context, s directory.Session) error
	Session(ctx context.Context, hash string) (directory.Session, error)
	Sessions(ctx context.Context, domain, user string) ([]directory.Session, error)
	TouchSession(ctx context.Context, hash string, seen time.Time) error
	DeleteSession(ctx context.Context, hash string) error

	SaveToken(ctx context.Context, t directory.Token) error
	Token(ctx context.Context, hash string) (directory.Token, error)
	Tokens(ctx context.Context, domain string) ([]directory.Token, error)
	TouchToken(ctx context.Context, hash string, used time.Time) error
	DeleteToken(ctx context.Context, hash string) error

	SaveRecords(ctx context.Context, calls []*feed.Call) error
	Records(ctx context.Context, domain string, f feed.Filter) (calls []*feed.Call, next string, err error)
	Record(ctx context.Context, domain, id string) (*feed.Call, error)

	Keep(ctx context.Context, rows []feed.Kept) error
	Kept(ctx context.Context, kind, domain, number string, add func(feed.Kept) error) error
	KeptFor(ctx context.Context, kind string) ([]feed.KeptFor, error)
	DropKept(ctx context.Context, kind string, before time.Time) (int, error)
}

// Parts are a store with its parts in memory.
type Parts struct {
	Store    Store
	Bindings *binding.Table
	Calls    *journal.Journal
	Cache    *cache.Cache
	Feed     *feed.Stream
}

// Run tests the store that open returns, a fresh one each time that tells what
// happens on the stream.
func Run(t *testing.T, open func(t *testing.T, s *feed.Stream) Parts) {
	t.Helper()
	f := fresh(open)
	t.Run("documents", func(t *testing.T) { t.Parallel(); documents(t, f) })
	t.Run("sessions", func(t *testing.T) { t.Parallel(); sessions(t, f) })
	t.Run("calls", func(t *testing.T) { t.Parallel(); calls(t, f) })
	t.Run("kept", func(t *testing.T) { t.Parallel(); kept(t, f) })
	RunShared(t, open)
}

// RunShared is the part of Run about what nodes share: bindings, and the directory
// as calls see it.
func RunShared(t *testing.T, open func(t *testing.T, s *feed.Stream) Parts) {
	t.Helper()
	f := fresh(open)
	t.Run("bindings", func(t *testing.T) { t.Parallel(); bindings(t, f) })
	t.Run("cache", func(t *testing.T) { t.Parallel(); caches(t, f) })
}

func fresh(open func(t *testing.T, s *feed.Stream) Parts) func(t *testing.T) Parts {
	return func(t *testing.T) Parts {
		t.Helper()
		s := feed.NewStream(10_000)
		p := open(t, s)
		p.Feed = s
		return p
	}
}

// Domain is the domain of the tests.
const Domain = "a.test"

// Author is who writes in them.
func Author() directory.Author {
	return directory.Author{Actor: "ana@a.test", From: "192.0.2.7"}
}

// Ref names a document of the domain; a domain names itself.
func Ref(kind directory.Kind, name string) directory.Ref {
	if kind == directory.KindDomain {
		return directory.Ref{Kind: kind, Name: name}
	}
	return directory.Ref{Domain: Domain, Kind: kind, Name: name}
}

// Put is a write without a condition.
func Put(kind directory.Kind, name, body string) directory.Write {
	return directory.Write{Ref: Ref(kind, name), Body: []byte(body)}
}

// Apply writes, and ends the test where that fails.
func Apply(t testing.TB, s Store, ws ...directory.Write) []directory.Document {
	t.Helper()
	docs, err := s.Apply(t.Context(), Author(), ws)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return docs
}

// Provision makes a domain with users ana and ben, numbers 1001 to 1004, of
// which 1001 is ana's and 1002 ben's, and a device with a credential for each
// of the two.
func Provision(t testing.TB, s Store) {
	t.Helper()
	Apply(t, s, Put(directory.KindDomain, Domain, `{"realm":"a.test","aliases":["192.0.2.1"],"region":"DE"}`))
	Apply(t, s,
		Put(directory.KindUser, "ana", `{}`), Put(directory.KindUser, "ben", `{}`),
		Put(directory.KindNumber, "1001", `{"user":"ana"}`), Put(directory.KindNumber, "1002", `{"user":"ben"}`),
		Put(directory.KindNumber, "1003", `{}`), Put(directory.KindNumber, "1004", `{"public":"+4989700798765"}`),
		Put(directory.KindDevice, "desk-1001", `{"user":"ana","kind":"desk","lines":[{"number":"1001"}]}`),
		Put(directory.KindDevice, "desk-1002", `{"user":"ben","kind":"desk","lines":[{"number":"1002"}]}`),
		Put(directory.KindCredential, "desk-1001", `{"id":"1","device":"desk-1001","sealed":"c2VhbGVk"}`),
		Put(directory.KindCredential, "desk-1002", `{"id":"2","device":"desk-1002","sealed":"c2VhbGVk"}`),
	)
}

// Forward is a forward.all of a number, both sides.
func Forward(number, to string) directory.Write {
	return Put(directory.KindForwarding, number, `{"all":{"internal":{"enabled":true,"target":"`+to+`"},"external":{"enabled":true,"target":"`+to+`"}}}`)
}
