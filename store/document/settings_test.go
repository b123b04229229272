package document_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"bellhop/routing/directory"
	"bellhop/store/document"
	"bellhop/store/memstore"
)

// A meddler writes a document whenever somebody is about to.
type meddler struct {
	document.Documents
	times int
}

func (m *meddler) Apply(ctx context.Context, a directory.Author, ws []directory.Write) ([]directory.Document, error) {
	if m.times--; m.times >= 0 {
		w := directory.Write{Ref: ws[0].Ref, Body: []byte(`{"enabled":false,"mode":"reject"}`)}
		if _, err := m.Documents.Apply(ctx, directory.Author{Actor: "meddler"}, []directory.Write{w}); err != nil {
			return nil, err
		}
	}
	return m.Documents.Apply(ctx, a, ws)
}

func on(body []byte) ([]byte, error) {
	return directory.Edit(directory.KindDND, body, func(d *directory.DND) { d.Enabled = true })
}

func TestEdit(t *testing.T) {
	t.Parallel()
	ref := directory.Ref{Domain: "bellhop.test", Kind: directory.KindDND, Name: "ana"}
	who := directory.Author{Actor: "device:desk-1001@bellhop.test", From: "192.0.2.11"}
	errNo := errors.New("no")
	tests := []struct {
		name   string
		before string // "": there is none
		times  int    // somebody else is faster so often
		edit   func([]byte) ([]byte, error)
		rows   int // of the history
		mode   string
		err    error
	}{
		{name: "none was there", edit: on, rows: 1, mode: directory.DNDVoicemail},
		{name: "the rest stays", before: `{"enabled":false,"mode":"reject"}`, edit: on, rows: 2, mode: directory.DNDReject},
		{name: "it is so already", before: `{"enabled":true,"mode":"reject"}`, edit: on, rows: 1, mode: directory.DNDReject},
		{name: "somebody was faster", times: 2, edit: on, rows: 3, mode: directory.DNDReject},
		{name: "somebody always is", times: 99, edit: on, err: directory.ErrVersion},
		{name: "refused", edit: func([]byte) ([]byte, error) { return nil, errNo }, err: errNo},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store, err := memstore.New(memstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			write := func(ref directory.Ref, body string) {
				t.Helper()
				if _, err := store.Apply(t.Context(), directory.Author{Actor: "test"}, []directory.Write{{Ref: ref, Body: []byte(body)}}); err != nil {
					t.Fatal(err)
				}
			}
			write(directory.Ref{Kind: directory.KindDomain, Name: "bellhop.test"}, `{"realm":"bellhop.test"}`)
			write(directory.Ref{Domain: "bellhop.test", Kind: directory.KindUser, Name: "ana"}, `{}`)
			if tt.before != "" {
				write(ref, tt.before)
			}
			m := &meddler{Documents: store, times: tt.times}
			if err := (document.Settings{Documents: m}).Edit(t.Context(), who, ref, tt.edit); !errors.Is(err, tt.err) {
				t.Fatalf("Edit = %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				return
			}
			doc, err := store.Get(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			d, err := directory.Parse[directory.DND](directory.KindDND, doc.Body)
			if err != nil || !d.Enabled || d.Mode != tt.mode {
				t.Errorf("then %+v, %v, want it on with mode %s", d, err, tt.mode)
			}
			rows, _, err := store.History(t.Context(), ref, 10, "")
			if err != nil || len(rows) != tt.rows {
				t.Errorf("%d rows of history, %v, want %d", len(rows), err, tt.rows)
			}
			if tt.rows > 1 && rows[0].Actor != who.Actor {
				t.Errorf("written by %q, want %q", rows[0].Actor, who.Actor)
			}
		})
	}
}

// TestEditsAtOnce: each of many edits of one document counts.
func TestEditsAtOnce(t *testing.T) {
	t.Parallel()
	store, err := memstore.New(memstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ref := directory.Ref{Kind: directory.KindDomain, Name: "bellhop.test"}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			err := document.Settings{Documents: store}.Edit(t.Context(), directory.Author{Actor: "test"}, ref, func(body []byte) ([]byte, error) {
				return directory.Edit(directory.KindDomain, body, func(d *directory.Domain) {
					d.Realm = "bellhop.test"
					d.Aliases = append(d.Aliases, "x"+string(rune('a'+len(d.Aliases)))+".test")
				})
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	doc, err := store.Get(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := directory.Parse[directory.Domain](directory.KindDomain, doc.Body); err != nil || len(d.Aliases) != 4 {
		t.Errorf("aliases %v, %v, want 4", d.Aliases, err)
	}
}
