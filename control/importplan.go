package control

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"bellhop/routing/directory"
)

// A draft is one document of an import: what is there, and what shall be. Rows
// that name the same thing write one draft.
type draft struct {
	now   directory.Document
	old   map[string]any
	body  map[string]any
	rows  []*importRow
	set   map[string]*importRow // who gave a field its value
	fresh bool                  // it does not exist yet
}

// change sets a field for a row; two rows that say different things contradict
// each other.
func (d *draft) change(row *importRow, field, column string, v any) {
	if by := d.set[field]; by != nil && by != row && !equalJSON(d.body[field], v) {
		row.fault(column, ruleImportTwice, "is another in line "+itoa(by.line))
		return
	}
	d.set[field], d.body[field] = row, v
}

// An importPlan is what an import writes.
type importPlan struct {
	s      *Server
	q      *request
	domain string
	rows   []*importRow
	cols   []column
	drafts map[directory.Ref]*draft
	order  []directory.Ref
	writes []directory.Write
	rowOf  map[directory.Ref]*importRow // where a fault of a document shows
	status map[*importRow]string
	secret map[*importRow]*credentialShown
}

// draft returns the draft of a document, read when it is first named.
func (p *importPlan) draft(row *importRow, kind directory.Kind, name string) (*draft, error) {
	ref := directory.Ref{Domain: p.domain, Kind: kind, Name: name}
	d := p.drafts[ref]
	if d == nil {
		now, old, err := p.s.current(p.q.ctx(), ref)
		if err != nil {
			return nil, err
		}
		d = &draft{now: now, old: old, body: cloneObject(old), set: map[string]*importRow{}, fresh: old == nil}
		p.drafts[ref], p.rowOf[ref] = d, row
		p.order = append(p.order, ref)
	}
	if len(d.rows) == 0 || d.rows[len(d.rows)-1] != row {
		d.rows = append(d.rows, row)
	}
	return d, nil
}

// add plans a row.
func (p *importPlan) add(row *importRow) error {
	user, number, device := row.has("user"), row.has("number"), row.has("device")
	for _, of := range []struct {
		kind directory.Kind
		name string
	}{{directory.KindUser, user}, {directory.KindNumber, number}, {directory.KindDevice, device}} {
		if of.name == "" {
			continue
		}
		d, err := p.draft(row, of.kind, of.name)
		if err != nil {
			return err
		}
		p.fields(row, d, of.kind)
		if user != "" && of.kind != directory.KindUser {
			d.change(row, "user", "user", user)
		}
		if number == "" {
			continue
		}
		if of.kind == directory.KindUser {
			d.body["numbers"] = withText(d.body["numbers"], number)
		}
		if of.kind == directory.KindDevice {
			d.body["lines"] = withLine(d.body["lines"], number)
		}
	}
	return nil
}

// fields sets what the columns of a kind say. A password is no field.
func (p *importPlan) fields(row *importRow, d *draft, kind directory.Kind) {
	for _, c := range p.cols {
		v, ok := row.cells[c.name]
		if ok && c.kind == kind && c.field != "" && c.field != "password" {
			d.change(row, c.field, c.name, v)
		}
	}
}

// withText adds s to a list of strings that does not have it.
func withText(list any, s string) any {
	l, _ := list.([]any)
	if slices.Contains(l, any(s)) {
		return l
	}
	return append(l, s)
}

// withLine adds a line to the lines of a device.
func withLine(list any, number string) any {
	l, _ := list.([]any)
	for _, e := range l {
		if m, ok := e.(map[string]any); ok && m["number"] == number {
			return l
		}
	}
	return append(l, map[string]any{"number": number})
}

// build makes the writes of all that changed.
func (p *importPlan) build(progress func(done, of int)) error {
	for i, ref := range p.order {
		progress(i, len(p.order))
		d := p.drafts[ref]
		if err := p.document(ref, d); err != nil {
			return err
		}
		if err := p.password(ref, d); err != nil {
			return err
		}
	}
	return nil
}

// document makes the write of one document, if it changes.
func (p *importPlan) document(ref directory.Ref, d *draft) error {
	raw, err := json.Marshal(d.body)
	if err != nil {
		return err
	}
	body, err := canonical(ref.Kind, raw)
	if bad, ok := errors.AsType[*directory.Invalid](err); ok {
		for _, f := range bad.Faults {
			p.blame(ref, d, f)
		}
		return nil
	}
	if err != nil || string(body) == string(d.now.Body) {
		return err
	}
	status := "updated"
	if d.fresh {
		status = "created"
	}
	for _, row := range d.rows {
		if p.status[row] != "created" {
			p.status[row] = status
		}
	}
	p.writes = append(p.writes, directory.Write{Ref: ref, Body: body, IfMatch: d.now.Version, Create: d.fresh})
	return nil
}

// blame shows a fault at the row that gave the field its value, or at the first
// that names the document.
func (p *importPlan) blame(ref directory.Ref, d *draft, f directory.Fault) {
	row := p.rowOf[ref]
	f.Location = strings.TrimPrefix(f.Location, ref.String()+": ")
	if d != nil {
		field, _, _ := strings.Cut(f.Location, ".")
		if by := d.set[field]; by != nil {
			row = by
		}
	}
	if f.Location == "name" || f.Location == "" { // what the row calls it
		f.Location = map[directory.Kind]string{
			directory.KindUser: "user", directory.KindNumber: "number", directory.KindDevice: "device", directory.KindCredential: "device", directory.KindSignIn: "user",
		}[ref.Kind]
	}
	row.faults = append(row.faults, f)
}

// password makes the write of a first password.
func (p *importPlan) password(ref directory.Ref, d *draft) error {
	if ref.Kind != directory.KindUser {
		return nil
	}
	for _, row := range d.rows {
		password := row.has("password")
		if password == "" {
			continue
		}
		if p.q.http.TLS == nil && !p.s.opts.Plain {
			return problemPlainPassword()
		}
		secret := directory.Ref{Domain: ref.Domain, Kind: directory.KindSignIn, Name: ref.Name}
		w, err := p.s.passwordWrite(p.q.ctx(), secret, "password", password, true, p.q.now)
		if bad, ok := errors.AsType[*directory.Invalid](err); ok {
			row.faults = append(row.faults, bad.Faults...)
			return nil
		}
		if err != nil {
			return err
		}
		p.rowOf[secret] = row
		p.writes = append(p.writes, w)
		if p.status[row] == "" {
			p.status[row] = "updated"
		}
		return nil // one is enough: the rows of one user
	}
	return nil
}

// credentials makes a secret for each device that is new.
func (p *importPlan) credentials() error {
	for _, ref := range p.order {
		d := p.drafts[ref]
		if ref.Kind != directory.KindDevice || !d.fresh {
			continue
		}
		w, shown, err := p.s.credentialWrite(ref)
		if err != nil {
			return err
		}
		p.rowOf[w.Ref] = d.rows[0]
		p.secret[d.rows[0]] = &shown
		p.writes = append(p.writes, w)
	}
	return nil
}

// refused spreads the faults of a check over the rows. A row that could not be
// planned has said why; what is missing because of it is no fault of its own.
func (p *importPlan) refused(bad *directory.Invalid) {
	said := map[*importRow]bool{}
	for _, row := range p.rows {
		said[row] = len(row.faults) > 0
	}
	for _, f := range bad.Faults {
		if !said[p.rowOf[f.Of]] {
			p.blame(f.Of, p.drafts[f.Of], f)
		}
	}
}
