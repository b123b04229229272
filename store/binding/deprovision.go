package binding

import (
	"context"

	"bellhop/routing/directory"
	"bellhop/routing/location"
)

// Deprovision removes the bindings that written documents leave without a
// ground: those of numbers and devices that were deleted, of devices for numbers
// that are no longer their lines, and in the clear of devices that must not be
// reached so. A store calls it after the commit.
func (t *Table) Deprovision(ctx context.Context, docs []directory.Document) error {
	numbers := make(map[directory.Ref]bool)
	devices := make(map[directory.Ref]map[string]bool) // and their lines as "domain/number"
	secure := make(map[directory.Ref]bool)             // those with tls: required
	for i := range docs {
		d := &docs[i]
		switch {
		case d.Kind == directory.KindNumber && d.Body == nil:
			numbers[d.Ref] = true
		case d.Kind == directory.KindDevice:
			lines := make(map[string]bool)
			for _, k := range directory.Keys(d.Ref, d.Body) {
				if k.Index == directory.IndexLine {
					lines[k.Value] = true
				}
			}
			devices[d.Ref] = lines
			if dev, err := directory.Parse[directory.Device](d.Kind, d.Body); d.Body != nil && err == nil {
				secure[d.Ref] = dev.TLS == directory.TLSRequired
			}
		}
	}
	if len(numbers) == 0 && len(devices) == 0 || t.Len() == 0 {
		return nil
	}
	return t.RemoveWhere(ctx, func(a location.AOR, b *location.Binding) bool {
		if numbers[directory.Ref{Domain: a.Domain(), Kind: directory.KindNumber, Name: a.User()}] {
			return true
		}
		device := directory.Ref{Domain: a.Domain(), Kind: directory.KindDevice, Name: b.Device}
		lines, ok := devices[device]
		return secure[device] && !b.Flow.Secure() || ok && !lines[a.Domain()+"/"+a.User()]
	})
}
