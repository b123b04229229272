package sip

import (
	"context"

	"bellhop/routing/directory"
)

// Settings changes what people set for themselves by telephone, with a code or a
// key of the phone: the same write as that of the API, with its checks and its
// history (behaviour.md §3). Who writes is the device: see [auth.From.Author].
type Settings interface {
	// Edit makes the document ref what edit makes of the one that is there, nil for
	// none; what stays as it was is not written. edit must be pure: it runs again
	// when somebody else was faster. It blocks until that is saved. Errors are those
	// of edit, [directory.ErrNotFound], *[directory.Invalid], and the store's.
	Edit(ctx context.Context, a directory.Author, ref directory.Ref, edit func(body []byte) ([]byte, error)) error
}
