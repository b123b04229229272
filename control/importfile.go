package control

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"bellhop/routing/directory"
)

// Limits of an imported file. A row has at most a user, a number and a device, so
// that one transaction stays within some seconds.
const (
	importBytes = 16 << 20
	importRows  = 50_000
)

// Rules of an imported file; those of its values are the directory's.
const (
	ruleImportFile   = "import.file"   // no CSV, or too much of it
	ruleImportColumn = "import.column" // a column that is unknown, twice, or of what the row does not name
	ruleImportTwice  = "import.twice"  // two rows that contradict each other
)

// A column is one that an imported file may have: a field of a kind of document.
// Its cells are read as JSON has them.
type column struct {
	name  string
	kind  directory.Kind
	field string // "": the cell names the document
	read  func(string) (any, error)
	doc   string
}

// columns lists what an imported file may have. An empty cell leaves what is there.
func columns() []column {
	const user, number, device = directory.KindUser, directory.KindNumber, directory.KindDevice
	return []column{
		{"user", user, "", word, "the user; a number and a device of the row become theirs"},
		{"name", user, "name", text, "of the user"},
		{"email", user, "email", text, ""},
		{"language", user, "language", text, "such as de"},
		{"time_zone", user, "time_zone", text, "such as Europe/Berlin"},
		{"password", user, "password", text, "a first one, which must be changed; each takes some time to hash"},
		{"number", number, "", text, "the extension"},
		{"public", number, "public", text, "E.164"},
		{"label", number, "label", text, ""},
		{"site", number, "site", text, ""},
		{"state", number, "state", text, "active, reserved or pending"},
		{"class_of_service", number, "class_of_service", text, ""},
		{"forwarding_class", number, "forwarding_class", text, ""},
		{"caller_id", number, "caller_id", text, ""},
		{"voicemail", number, "voicemail", truth, "yes or no"},
		{"call_waiting", number, "call_waiting", truth, "yes or no"},
		{"busy_trigger", number, "busy_trigger", whole, ""},
		{"ring_time", number, "ring_time", text, "such as PT18S"},
		{"device", device, "", word, "its authorization name; it gets the number of the row as a line"},
		{"kind", device, "kind", text, "desk, soft or browser"},
		{"mac", device, "mac", text, ""},
		{"tls", device, "tls", text, "required, or empty"},
	}
}

func text(s string) (any, error) { return s, nil }

func word(s string) (any, error) { return strings.ToLower(s), nil }

func truth(s string) (any, error) {
	switch strings.ToLower(s) {
	case "yes", "true", "1", "on":
		return true, nil
	case "no", "false", "0", "off":
		return false, nil
	default:
		return nil, errors.New("must be yes or no")
	}
}

func whole(s string) (any, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return nil, errors.New("must be a whole number")
	}
	return n, nil
}

// An importRow is a row of an imported file: the fields of its documents by the
// columns that are not empty.
type importRow struct {
	line   int // in the file, from 1
	cells  map[string]any
	faults []directory.Fault
}

// has returns a cell that is a name.
func (r *importRow) has(column string) string {
	s, _ := r.cells[column].(string)
	return s
}

// fault finds fault with a cell.
func (r *importRow) fault(location, rule, message string) {
	r.faults = append(r.faults, fault(location, rule, message))
}

// parseImport reads a file. Its first row names the columns. The separator is a
// comma, or a semicolon where the first row has one, as spreadsheets of many
// countries write it.
func parseImport(file []byte) ([]*importRow, error) {
	file = bytes.TrimPrefix(file, []byte("\ufeff"))
	head, _, _ := bytes.Cut(file, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(file))
	if bytes.IndexByte(head, ';') >= 0 {
		r.Comma = ';'
	}
	r.TrimLeadingSpace, r.ReuseRecord = true, true
	names, err := r.Read()
	if err != nil {
		return nil, badFile(err)
	}
	cols, err := header(names)
	if err != nil {
		return nil, err
	}
	var rows []*importRow
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, badFile(err)
		}
		if len(rows) == importRows {
			return nil, invalid(fault("file", ruleImportFile, fmt.Sprintf("has more than %d rows: import it in parts", importRows)))
		}
		line, _ := r.FieldPos(0)
		if row := readRow(line, cols, record); len(row.cells) > 0 || len(row.faults) > 0 {
			rows = append(rows, row)
		}
	}
}

func badFile(err error) error {
	if errors.Is(err, io.EOF) {
		return invalid(fault("file", ruleImportFile, "is empty: its first row names the columns"))
	}
	if bad, ok := errors.AsType[*csv.ParseError](err); ok {
		return invalid(fault("line "+itoa(bad.Line), ruleImportFile, "is no CSV: "+bad.Err.Error()))
	}
	return invalid(fault("file", ruleImportFile, "is no CSV"))
}

// header finds the columns that the first row names.
func header(names []string) ([]column, error) {
	all := columns()
	out := make([]column, 0, len(names))
	var faults []directory.Fault
	for _, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		i := slices.IndexFunc(all, func(c column) bool { return c.name == name })
		switch {
		case i < 0:
			faults = append(faults, fault("line 1", ruleImportColumn, fmt.Sprintf("%.40q is no column; there are %s", name, columnNames(all))))
		case slices.ContainsFunc(out, func(c column) bool { return c.name == name }):
			faults = append(faults, fault("line 1", ruleImportColumn, name+" is there twice"))
		default:
			out = append(out, all[i])
		}
	}
	if len(faults) > 0 {
		return nil, invalid(faults...)
	}
	return out, nil
}

func columnNames(cols []column) string {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// readRow reads the cells of a row, and finds fault with fields of what it does
// not name.
func readRow(line int, cols []column, record []string) *importRow {
	row := &importRow{line: line, cells: make(map[string]any, len(cols))}
	named := map[directory.Kind]bool{}
	for i, c := range cols {
		cell := strings.TrimSpace(record[i])
		if cell == "" {
			continue
		}
		v, err := c.read(cell)
		if err != nil {
			row.fault(c.name, directory.RuleValue, err.Error())
			continue
		}
		if c.field == "" {
			if named[c.kind] = plainName(cell); !named[c.kind] {
				row.fault(c.name, directory.RuleName, "cannot be a name")
				continue
			}
		}
		row.cells[c.name] = v
	}
	for _, c := range cols {
		if _, ok := row.cells[c.name]; ok && c.field != "" && !named[c.kind] {
			row.fault(c.name, ruleImportColumn, "the row names nothing in "+string(c.kind)+" that it could be of")
		}
	}
	return row
}
