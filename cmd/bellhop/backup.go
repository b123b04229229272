package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"bellhop/config"
	"bellhop/store/sqlstore"
)

// storeFlags say which database is meant.
type storeFlags struct {
	Config string `short:"c" default:"/etc/bellhop/bellhop.yaml" env:"BELLHOP_CONFIG" placeholder:"FILE" help:"Configuration file that names the store (${default})."`
	Store  string `placeholder:"DIR" help:"Folder of the store, instead of the configuration's store.dir; a demo's is .demo/store."`
}

// file is the database.
func (f storeFlags) file(std stdio) (string, error) {
	dir := f.Store
	if dir == "" {
		conf, err := config.Load(f.Config, std.env)
		if err != nil {
			return "", err
		}
		if conf.Store.URL != "" {
			return "", errors.New("the store is a PostgreSQL: use its pg_dump and pg_restore (docs/operations.md says how)")
		}
		dir = conf.Store.Dir
	}
	return filepath.Join(dir, sqlstore.FileName), nil
}

// progress says each second how far a copy is.
func (s stdio) progress(done, total int64) {
	s.say("%s of about %s", megabytes(done), megabytes(total))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

type backupCmd struct {
	storeFlags
	File string `arg:"" help:"The copy; it must not be there yet."`
}

// Help is printed by backup --help.
func (backupCmd) Help() string {
	return `The daemon may run, and goes on. The copy is whole or not there at all, and nobody else may read it (mode 0600): settings, sign-ins, registrations and records are in it, and secrets sealed by the key ring.

The key ring (keys.dir) is not in it. Keep a copy of it as well, somewhere else: without it the secrets of devices cannot be opened. Calls of the last second, which are in the journal, are not in it either.`
}

// Run makes a copy.
func (c backupCmd) Run(ctx context.Context, std stdio) error {
	file, err := c.file(std)
	if err != nil {
		return err
	}
	made, err := sqlstore.Backup(ctx, file, c.File, std.progress)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already; choose another name, or remove it", c.File)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no database at %s: %w", file, err)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s is a copy of %s: %s, epoch %d, schema %d; the key ring is not in it\n", c.File, file, megabytes(made.Bytes), made.Epoch, made.Schema)
	return err
}

type restoreCmd struct {
	storeFlags
	File string `arg:"" help:"A copy that bellhop backup made."`
}

// Help is printed by restore --help.
func (restoreCmd) Help() string {
	return `The daemon must not run. The copy is looked through for damage first; it may be of this release or an older one, and stays as it is. The database that was there is kept beside the new one, as bellhop.db.before-restore.

The epoch of the store is raised: every version (ETag) that was given out since the copy was made is older than those to come, so that nobody overwrites by mistake. Phones that registered since then register again by themselves; passwords and secrets that were changed since then are the old ones.`
}

// Run puts a copy in place.
func (c restoreCmd) Run(ctx context.Context, std stdio) error {
	file, err := c.file(std)
	if err != nil {
		return err
	}
	made, err := sqlstore.Restore(ctx, c.File, file, std.progress)
	switch {
	case errors.Is(err, sqlstore.ErrInUse):
		return fmt.Errorf("a daemon has %s open: stop it first", file)
	case err != nil:
		return err
	}
	if made.Kept != "" {
		std.say("what was there is kept as %s", made.Kept)
	}
	_, err = fmt.Fprintf(std.out, "%s is restored from %s: %s, epoch %d, schema %d\n", file, c.File, megabytes(made.Bytes), made.Epoch, made.Schema)
	return err
}
