package document

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"bellhop/routing/directory"
)

// Documents is where settings are; the stores are.
type Documents interface {
	Get(ctx context.Context, ref directory.Ref) (directory.Document, error)
	Apply(ctx context.Context, a directory.Author, ws []directory.Write) ([]directory.Document, error)
}

// A Settings changes documents that people change by telephone.
type Settings struct{ Documents Documents }

// maxEdits is how often an edit is made again because somebody else was faster.
const maxEdits = 5

// Edit makes the document ref what edit makes of the one that is there, nil for
// none; what stays as it was is not written, and leaves no trace in the history.
// edit may run more than once. Errors are those of edit and of [Apply].
func (s Settings) Edit(ctx context.Context, a directory.Author, ref directory.Ref, edit func(body []byte) ([]byte, error)) error {
	var err error
	for range maxEdits {
		if err = s.edit(ctx, a, ref, edit); !errors.Is(err, directory.ErrVersion) && !errors.Is(err, directory.ErrExists) {
			return err
		}
	}
	return fmt.Errorf("document: edit %s: %w", ref, err)
}

func (s Settings) edit(ctx context.Context, a directory.Author, ref directory.Ref, edit func(body []byte) ([]byte, error)) error {
	doc, err := s.Documents.Get(ctx, ref)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return err
	}
	body, err := edit(doc.Body)
	if err != nil || bytes.Equal(body, doc.Body) {
		return err
	}
	w := directory.Write{Ref: ref, Body: body, IfMatch: doc.Version, Create: doc.Version.IsZero()}
	_, err = s.Documents.Apply(ctx, a, []directory.Write{w})
	return err
}
