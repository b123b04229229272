package sqlstore_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bellhop/routing/directory"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// TestBackupBesideADaemon copies a database that is open and written to.
func TestBackupBesideADaemon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := in(dir)
	s := open(t, o)
	storetest.Provision(t, s)
	to := filepath.Join(dir, "copies", "copy.db")
	c, err := sqlstore.Backup(t.Context(), o.File, to, nil)
	if err != nil || c.Epoch != 1 || c.Schema < 1 || c.Bytes == 0 || c.Kept != "" {
		t.Fatalf("Backup = %+v, %v", c, err)
	}
	info, err := os.Stat(to)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != c.Bytes {
		t.Errorf("the copy: %v, %v", info, err)
	}
	if _, err := sqlstore.Backup(t.Context(), o.File, to, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Backup over a copy = %v", err)
	}
	if _, err := sqlstore.Backup(t.Context(), filepath.Join(dir, "none.db"), filepath.Join(dir, "other.db"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Backup of nothing = %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Backup of nothing made something")
	}
	storetest.Apply(t, s, storetest.Put(directory.KindNumber, "1003", `{"label":"later"}`)) // it goes on
	if left, _ := filepath.Glob(filepath.Join(dir, "copies", "*.tmp*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestOneProcess: nobody opens a database that another has.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	o := in(t.TempDir())
	s := open(t, o)
	if _, err := sqlstore.New(t.Context(), o); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("New on an open database = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, o)
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := in(dir)
	s := open(t, o)
	storetest.Provision(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	copied := filepath.Join(dir, "copy.db")
	if _, err := sqlstore.Backup(t.Context(), o.File, copied, nil); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign.db")
	db, err := sql.Open("sqlite", foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (x)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	newer := write("newer.db", b)
	if db, err = sql.Open("sqlite", newer); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE goose_db_version SET version_id = 9999 WHERE version_id > 0"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(o.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, from, want string }{
		{"nothing", filepath.Join(dir, "none.db"), "no such file"},
		{"text", write("text.db", []byte(strings.Repeat("no database ", 1000))), "no database of bellhop"},
		{"empty", write("empty.db", nil), "no database of bellhop"},
		{"of something else", foreign, "no database of bellhop"},
		{"of a newer release", newer, "newer schema"},
		{"cut short", write("short.db", b[:len(b)-16384]), "malformed"},
		{"with a hole", write("hole.db", slices.Concat(b[:len(b)-16384], make([]byte, 8192), b[len(b)-8192:])), "damaged"},
	} {
		if _, err := sqlstore.Restore(t.Context(), tt.from, o.File, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Restore of %s = %v, want %q in it", tt.name, err, tt.want)
		}
		if after, err := os.ReadFile(o.File); err != nil || string(after) != string(before) {
			t.Errorf("Restore of %s changed the database: %v", tt.name, err)
		}
	}
	if left, _ := filepath.Glob(o.File + ".restored*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if after, err := os.ReadFile(copied); err != nil || string(after) != string(b) {
		t.Errorf("the copy was changed: %v", err)
	}
}

// TestRestoreOverWhatIsLeft restores where a node died, and where the database
// is damaged: what was there is kept.
func TestRestoreOverWhatIsLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := in(dir)
	s := open(t, o)
	storetest.Provision(t, s)
	copied := filepath.Join(dir, "copy.db")
	if _, err := sqlstore.Backup(t.Context(), o.File, copied, nil); err != nil {
		t.Fatal(err)
	}
	late := storetest.Apply(t, s, storetest.Put(directory.KindNumber, "1003", `{"label":"late"}`))[0]
	dead := filepath.Join(dir, "dead", "bellhop.db") // as kill -9 leaves it
	if err := os.Mkdir(filepath.Dir(dead), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(o.File + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dead+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := sqlstore.Restore(t.Context(), copied, dead, nil)
	if err != nil || c.Epoch != 2 || c.Kept != dead+".before-restore" {
		t.Fatalf("Restore = %+v, %v", c, err)
	}
	again := open(t, sqlstore.Options{File: dead})
	doc := storetest.Apply(t, again, storetest.Put(directory.KindNumber, "1003", `{"label":"new"}`))[0]
	if doc.Version.Compare(late.Version) <= 0 {
		t.Errorf("version after Restore = %s, want it after %s", doc.Version, late.Version)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	kept := open(t, sqlstore.Options{File: c.Kept})
	if doc, err := kept.Get(t.Context(), late.Ref); err != nil || string(doc.Body) != `{"label":"late"}` && !strings.Contains(string(doc.Body), "late") {
		t.Errorf("what was there before: %s, %v", doc.Body, err)
	}
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(dead, []byte(strings.Repeat("damaged ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err = sqlstore.Restore(t.Context(), copied, dead, nil)
	if err != nil || c.Epoch < 1000 {
		t.Errorf("Restore over a damaged database = %+v, %v, want an epoch after all there were", c, err)
	}
}
