package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellhop/routing/directory"
	"bellhop/store/sqlstore"
)

// TestBackupAndRestore copies a database that is open, and puts the copy back
// when it is not.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "b.yaml")
	text := "https: {bind: '127.0.0.1:0', plain: true}\nstore: {dir: state}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copy.db")
	if _, errs, status := command(t, nil, "", "backup", "-c", conf, copied); status != exitFailed || !strings.Contains(errs, "there is no database at") {
		t.Errorf("backup of nothing = %d %s", status, errs)
	}
	open := func() *sqlstore.Store {
		t.Helper()
		s, err := sqlstore.New(t.Context(), sqlstore.Options{File: filepath.Join(dir, "state", sqlstore.FileName)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ref := directory.Ref{Kind: directory.KindDomain, Name: "a.test"}
	write := func(s *sqlstore.Store, region string) directory.Document {
		t.Helper()
		docs, err := s.Apply(t.Context(), directory.Author{Actor: "test"}, []directory.Write{{Ref: ref, Body: []byte(`{"realm":"a","region":"` + region + `"}`)}})
		if err != nil {
			t.Fatal(err)
		}
		return docs[0]
	}
	s := open()
	write(s, "DE")
	out, errs, status := command(t, nil, "", "backup", copied, "--store", filepath.Join(dir, "state"))
	if status != exitOK || !strings.Contains(out, "epoch 1") || !strings.Contains(out, "key ring is not in it") {
		t.Fatalf("backup = %d %s%s", status, out, errs)
	}
	if _, errs, status := command(t, nil, "", "backup", "-c", conf, copied); status != exitFailed || !strings.Contains(errs, "is there already") {
		t.Errorf("backup over a copy = %d %s", status, errs)
	}
	late := write(s, "AT")
	if _, errs, status := command(t, nil, "", "restore", "-c", conf, copied); status != exitFailed || !strings.Contains(errs, "stop it first") {
		t.Errorf("restore under a daemon = %d %s", status, errs)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, errs, status := command(t, nil, "", "restore", "-c", conf, conf); status != exitFailed || !strings.Contains(errs, "no database of bellhop") {
		t.Errorf("restore of a text = %d %s", status, errs)
	}
	out, errs, status = command(t, nil, "", "restore", "-c", conf, copied)
	if status != exitOK || !strings.Contains(out, "epoch 2") || !strings.Contains(errs, "before-restore") {
		t.Fatalf("restore = %d %s%s", status, out, errs)
	}
	s = open()
	doc, err := s.Get(context.WithoutCancel(t.Context()), ref)
	if err != nil || !strings.Contains(string(doc.Body), `"DE"`) {
		t.Errorf("after the restore: %s, %v", doc.Body, err)
	}
	if doc := write(s, "CH"); doc.Version.Compare(late.Version) <= 0 {
		t.Errorf("version %s after the restore is not after %s", doc.Version, late.Version)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
