package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"bellhop/routing/directory"
)

// Media types of an import.
const (
	mediaCSV   = "text/csv"
	mediaLines = "application/x-ndjson"
)

// importTime bounds the upload of a file, and a pause in its answer.
const importTime = 2 * time.Minute

// importFaults bounds how many faults a refused import names.
const importFaults = 1000

// An importResult says what an import did, or would do.
type importResult struct {
	DryRun    bool            `json:"dry_run"`
	Applied   bool            `json:"applied" doc:"false: nothing was changed"`
	Rows      []importOutcome `json:"rows"`
	Created   int             `json:"created" doc:"rows with something new"`
	Updated   int             `json:"updated"`
	Unchanged int             `json:"unchanged"`
	Refused   int             `json:"refused" doc:"rows with faults: then nothing is changed"`
}

// An importOutcome is what became of a row.
type importOutcome struct {
	Line       int               `json:"line" doc:"in the file, from 1"`
	Status     string            `json:"status" doc:"created, updated, unchanged or refused"`
	User       string            `json:"user,omitempty"`
	Number     string            `json:"number,omitempty"`
	Device     string            `json:"device,omitempty"`
	Credential *credentialShown  `json:"credential,omitempty" doc:"with ?credentials=1, of a new device: shown this once"`
	Errors     []directory.Fault `json:"errors,omitempty"`
}

// An importProgress is a line of an answer as application/x-ndjson before the
// last, which is {"result": ...} or {"problem": ...}.
type importProgress struct {
	Phase string `json:"phase"` // read, check, save
	Done  int    `json:"done"`
	Of    int    `json:"of"`
}

func importEndpoint() endpoint {
	return endpoint{
		method: http.MethodPost, path: "/v1/domains/{domain}/import", id: "import", tag: "directory", access: domainAdmin,
		summary: "Import users, numbers and devices from CSV, all or nothing; Accept: application/x-ndjson answers with lines of progress first",
		query: []param{
			{"dry_run", "1: say what would happen, change nothing", "1"},
			{"credentials", "1: make a secret for each new device; it is shown once", "1"},
		},
		in: typeOf[string](), takes: mediaCSV, out: typeOf[importResult](), handle: (*Server).importFile,
	}
}

// readFile reads the body of an endpoint that takes a file.
func readFile(w http.ResponseWriter, r *http.Request, media string) ([]byte, error) {
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != media {
		return nil, problem(http.StatusUnsupportedMediaType, "body.media-type", "send %s", media)
	}
	rc, until := http.NewResponseController(w), time.Now().Add(importTime)
	_ = rc.SetReadDeadline(until) // a recorder of tests has none
	_ = rc.SetWriteDeadline(until)
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, importBytes))
	if err == nil {
		return b, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, err
	}
	return nil, problem(http.StatusBadRequest, "body.read", "the body could not be read")
}

// importFile reads the file, plans it, and writes it in one transaction, which
// checks it again: what changed meanwhile is a refusal.
func (s *Server) importFile(q *request) (reply, error) {
	domain := strings.ToLower(q.path("domain"))
	if _, err := s.opts.Documents.Get(q.ctx(), directory.Ref{Kind: directory.KindDomain, Name: domain}); err != nil {
		return reply{}, err
	}
	lines := newLines(q)
	out, err := s.importRows(q, domain, lines)
	if lines == nil {
		if err != nil {
			return reply{}, err
		}
		return reply{body: out}, nil
	}
	if err != nil {
		p := problemOf(err)
		if p.Status >= http.StatusInternalServerError {
			s.log.Error("import failed", "domain", domain, "err", err)
		}
		lines.write("problem", p)
		return reply{}, nil
	}
	lines.write("result", out)
	return reply{}, nil
}

func (s *Server) importRows(q *request, domain string, lines *lineWriter) (out *importResult, err error) {
	rows, err := parseImport(q.body)
	if err != nil {
		return nil, err
	}
	p := &importPlan{
		s: s, q: q, domain: domain, rows: rows, cols: columns(),
		drafts: map[directory.Ref]*draft{}, rowOf: map[directory.Ref]*importRow{},
		status: map[*importRow]string{}, secret: map[*importRow]*credentialShown{},
	}
	for i, row := range rows {
		lines.progress("read", i, len(rows))
		if err := p.add(row); err != nil {
			return nil, err
		}
	}
	if err := p.build(func(done, of int) { lines.progress("prepare", done, of) }); err != nil {
		return nil, err
	}
	dry := q.flag("dry_run")
	if !dry && q.flag("credentials") {
		if err := p.credentials(); err != nil {
			return nil, err
		}
	}
	if err := p.save(lines, dry); err != nil {
		return nil, err
	}
	if out = p.result(dry); dry {
		return out, nil
	}
	if out.Refused > 0 {
		return nil, out.problem()
	}
	for _, w := range p.writes {
		if w.Kind == directory.KindSignIn {
			if err := s.endSessions(q.ctx(), domain, w.Name, nil); err != nil {
				return nil, err
			}
		}
	}
	out.Applied = true
	s.log.Info("imported", "domain", domain, "rows", len(rows), "writes", len(p.writes), "by", q.who.name())
	return out, nil
}

// save writes what was planned, or only checks it where nothing shall or can be
// written; what the directory refuses shows at the rows.
func (p *importPlan) save(lines *lineWriter, dry bool) (err error) {
	docs, faulty := p.s.opts.Documents, slices.ContainsFunc(p.rows, func(r *importRow) bool { return len(r.faults) > 0 })
	if dry || faulty {
		lines.step("check", len(p.writes))
		err = docs.Check(p.q.ctx(), p.writes)
	} else {
		lines.step("save", len(p.writes))
		_, err = docs.Apply(p.q.ctx(), p.q.author(), p.writes)
	}
	if bad, ok := errors.AsType[*directory.Invalid](err); ok {
		p.refused(bad)
		return nil
	}
	return err
}

// result says what becomes of each row.
func (p *importPlan) result(dry bool) *importResult {
	out := &importResult{DryRun: dry, Rows: make([]importOutcome, 0, len(p.rows))}
	for _, row := range p.rows {
		o := importOutcome{
			Line: row.line, Status: p.status[row], User: row.has("user"), Number: row.has("number"), Device: row.has("device"),
			Credential: p.secret[row], Errors: row.faults,
		}
		switch {
		case len(row.faults) > 0:
			o.Status, o.Credential = "refused", nil
			out.Refused++
		case o.Status == "created":
			out.Created++
		case o.Status == "updated":
			out.Updated++
		default:
			o.Status = "unchanged"
			out.Unchanged++
		}
		out.Rows = append(out.Rows, o)
	}
	return out
}

// problem is the refusal of an import: every fault with the line it is in.
func (r *importResult) problem() *Problem {
	p := problem(http.StatusUnprocessableEntity, "import.refused", "%d of %d rows are at fault; nothing was changed", r.Refused, len(r.Rows))
	for _, o := range r.Rows {
		for _, f := range o.Errors {
			if len(p.Errors) == importFaults {
				return p
			}
			f.Location = fmt.Sprintf("line %d: %s", o.Line, f.Location)
			p.Errors = append(p.Errors, f)
		}
	}
	return p
}

// flag reads a query parameter that is 1 or true.
func (q *request) flag(name string) bool { v := q.query(name); return v == "1" || v == "true" }

// progressEvery is how often a client hears how far long work is.
const progressEvery = 250 * time.Millisecond

// A lineWriter answers in lines of JSON while the work goes on. A nil one writes
// nothing.
type lineWriter struct {
	w    io.Writer
	rc   *http.ResponseController
	last time.Time
}

// newLines returns a lineWriter when the client wants one.
func newLines(q *request) *lineWriter {
	if !strings.Contains(q.http.Header.Get("Accept"), mediaLines) {
		return nil
	}
	q.w.Header().Set("Content-Type", mediaLines)
	q.w.WriteHeader(http.StatusOK)
	return &lineWriter{w: q.w, rc: http.NewResponseController(q.w)}
}

// progress says how far a phase is, not too often.
func (l *lineWriter) progress(phase string, done, of int) {
	if l == nil || done%64 != 0 || time.Since(l.last) < progressEvery {
		return
	}
	l.last = time.Now()
	l.write("progress", importProgress{phase, done, of})
}

// step says that a phase begins that is one step.
func (l *lineWriter) step(phase string, of int) {
	if l != nil {
		l.write("progress", importProgress{phase, 0, of})
	}
}

// write sends a line. A client that went away is noticed by the request's context.
func (l *lineWriter) write(name string, v any) {
	b, err := marshal(map[string]any{name: v})
	if err != nil {
		b = json.RawMessage(`{"problem":{"type":"internal"}}` + "\n")
	}
	_ = l.rc.SetWriteDeadline(time.Now().Add(importTime))
	_, _ = l.w.Write(b)
	_ = l.rc.Flush()
}
