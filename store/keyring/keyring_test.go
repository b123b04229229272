package keyring_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/store/keyring"
)

func newRing(t *testing.T) (*keyring.Ring, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	r, err := keyring.New(keyring.Options{Dir: dir, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		spoil  func(t *testing.T, dir string)
		create bool
		want   error
	}{
		{"reads what it made", func(*testing.T, string) {}, false, nil},
		{"file for the group", func(t *testing.T, dir string) { chmod(t, filepath.Join(dir, "001.key"), 0o640) }, false, keyring.ErrMode},
		{"file for all", func(t *testing.T, dir string) { chmod(t, filepath.Join(dir, "001.key"), 0o604) }, false, keyring.ErrMode},
		{"folder that others write", func(t *testing.T, dir string) { chmod(t, dir, 0o777) }, false, keyring.ErrMode},
		{"no key", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "001.key")) }, false, keyring.ErrEmpty},
		{"no key, one is made", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "001.key")) }, true, nil},
		{"newer format", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "009.key"), "bellhop-key 2\nid 9\n")
		}, false, keyring.ErrFormat},
		{"short master", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "009.key"), "bellhop-key 1\nid 9\nmade 2026-01-01T00:00:00Z\nmaster AAAA\n")
		}, false, keyring.ErrFormat},
		{"same id twice", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, "001.key"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "copy.key"), string(b))
		}, false, keyring.ErrFormat},
		{"other files are left alone", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "README"), "keys") }, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, dir := newRing(t)
			tt.spoil(t, dir)
			if _, err := keyring.New(keyring.Options{Dir: dir, Create: tt.create}); !errors.Is(err, tt.want) {
				t.Errorf("New = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestRefusesLink(t *testing.T) {
	t.Parallel()
	_, dir := newRing(t)
	other := filepath.Join(t.TempDir(), "k")
	if err := os.Rename(filepath.Join(dir, "001.key"), other); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dir, "001.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.New(keyring.Options{Dir: dir}); err == nil {
		t.Error("New followed a link")
	}
}

func TestDeriveIsStableAndApart(t *testing.T) {
	t.Parallel()
	r, dir := newRing(t)
	again, err := keyring.New(keyring.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, a := r.Derive("nonce")
	_, b := again.Derive("nonce")
	_, c := r.Derive("token")
	if !bytes.Equal(a[0], b[0]) || len(a[0]) != 32 {
		t.Errorf("Derive(nonce) = %x and %x, want the same 32 bytes", a[0], b[0])
	}
	if bytes.Equal(a[0], c[0]) {
		t.Error("Derive(nonce) = Derive(token)")
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	synctest.Test(t, func(t *testing.T) {
		r, err := keyring.New(keyring.Options{Dir: dir, Create: true})
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := r.Seal("credential", []byte("secret"), []byte("desk-1001"))
		if err != nil {
			t.Fatal(err)
		}
		_, before := r.Derive("nonce")
		<-time.After(time.Hour)
		if err := r.Rotate(); err != nil {
			t.Fatal(err)
		}
		ids, after := r.Derive("nonce")
		if len(ids) != 2 || ids[0] != 2 || ids[1] != 1 || !bytes.Equal(after[1], before[0]) {
			t.Errorf("after Rotate: Derive = %v, want key 2, then 1 as it was", ids)
		}
		if !r.Stale(sealed) {
			t.Error("Stale = false for a value of the old key")
		}
		<-time.After(keyring.Grace - time.Second)
		if ids, _ := r.Derive("nonce"); len(ids) != 2 {
			t.Errorf("a second before the end of the grace: Derive = %v, want both keys", ids)
		}
		<-time.After(time.Second)
		if ids, _ := r.Derive("nonce"); len(ids) != 1 || ids[0] != 2 {
			t.Errorf("after the grace: Derive = %v, want key 2 only", ids)
		}
		if plain, err := r.Open("credential", sealed, []byte("desk-1001")); err != nil || string(plain) != "secret" {
			t.Errorf("Open with an old key = %q, %v, want the secret", plain, err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	r, _ := newRing(t)
	other, _ := newRing(t)
	sealed, err := r.Seal("credential", []byte("secret"), []byte("desk-1001"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	unknown := bytes.Clone(sealed)
	unknown[1] = 77
	for _, tt := range []struct {
		name    string
		ring    *keyring.Ring
		purpose string
		sealed  []byte
		aad     string
	}{
		{"another place", r, "credential", sealed, "desk-1002"},
		{"another purpose", r, "pin", sealed, "desk-1001"},
		{"another ring", other, "credential", sealed, "desk-1001"},
		{"a flipped bit", r, "credential", flipped, "desk-1001"},
		{"an unknown key", r, "credential", unknown, "desk-1001"},
		{"nothing", r, "credential", nil, "desk-1001"},
		{"a cut value", r, "credential", sealed[:5], "desk-1001"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := tt.ring.Open(tt.purpose, tt.sealed, []byte(tt.aad)); !errors.Is(err, keyring.ErrSealed) {
				t.Errorf("Open = %v, want %v", err, keyring.ErrSealed)
			}
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
