package keyring

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// header is the first line of a key file; the number is the format.
const header = "bellhop-key 1"

// suffix marks key files; anything else in the folder is left alone.
const suffix = ".key"

// firstID is the id of the first key of a ring.
const firstID = 1

// load reads the keys in dir; with missing, a folder that is not there has none.
func load(dir string, missing bool) ([]key, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) && missing {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	st, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	if st.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o, others may put keys there", ErrMode, dir, st.Mode().Perm())
	}
	var keys []key
	taken := make(map[byte]string)
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), suffix) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		k, err := read(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if other, ok := taken[k.id]; ok {
			return nil, fmt.Errorf("%w: %s and %s both have id %d", ErrFormat, other, e.Name(), k.id)
		}
		taken[k.id] = e.Name()
		keys = append(keys, k)
	}
	return keys, nil
}

// read reads one key file. It follows no link, and looks at the mode of what it
// opened, so that nobody can swap the file in between.
func read(path string) (key, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return key{}, fmt.Errorf("keyring: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return key{}, fmt.Errorf("keyring: %w", err)
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 {
		return key{}, fmt.Errorf("%w: %s has mode %04o, want 0600", ErrMode, path, st.Mode().Perm())
	}
	b := make([]byte, 512)
	n, err := f.Read(b)
	if err != nil {
		return key{}, fmt.Errorf("%w: %s: %w", ErrFormat, path, err)
	}
	k, err := parse(string(b[:n]))
	if err != nil {
		return key{}, fmt.Errorf("%w: %s: %w", ErrFormat, path, err)
	}
	return k, nil
}

// parse reads the text of a key file.
func parse(s string) (key, error) {
	var k key
	head, rest, _ := strings.Cut(s, "\n")
	if head != header {
		return k, fmt.Errorf("first line is not %q", header)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(rest) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		fields[name] = value
	}
	id, err := strconv.ParseUint(fields["id"], 10, 8)
	if err != nil || id == 0 {
		return k, errors.New("id is not a number from 1 to 255")
	}
	made, err := time.Parse(time.RFC3339, fields["made"])
	if err != nil {
		return k, errors.New("made is not a time")
	}
	master, err := base64.StdEncoding.DecodeString(fields["master"])
	if err != nil || len(master) != masterSize {
		return k, fmt.Errorf("master is not %d bytes in base64", masterSize)
	}
	k.id, k.made = byte(id), made
	copy(k.master[:], master)
	return k, nil
}

// create makes a key file with id, whole or not at all. Where somebody else made
// the same id first, theirs is kept.
func create(dir string, id byte, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keyring: make key: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when all went well
	defer tmp.Close()
	m := random()
	_, err = fmt.Fprintf(tmp, "%s\nid %d\nmade %s\nmaster %s\n", header, id,
		now.UTC().Format(time.RFC3339Nano), base64.StdEncoding.EncodeToString(m[:]))
	if err == nil {
		err = tmp.Sync()
	}
	if err != nil {
		return fmt.Errorf("keyring: make key: %w", err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%03d%s", id, suffix))
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keyring: make key: %w", err)
	}
	return syncDir(dir)
}

// syncDir makes the names in dir survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("keyring: sync %s: %w", dir, err)
	}
	return nil
}

// freeID returns the id for the next key: one above the newest, wrapping
// around, and not in use.
func freeID(keys []key) (byte, bool) {
	used := make(map[byte]bool, len(keys))
	for _, k := range keys {
		used[k.id] = true
	}
	id := byte(firstID)
	if len(keys) > 0 {
		id = keys[0].id
	}
	for range 255 {
		if id++; id == 0 {
			id = firstID
		}
		if !used[id] {
			return id, true
		}
	}
	return 0, false
}
