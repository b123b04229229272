package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"bellhop/config"
	"bellhop/store/keyring"
	"bellhop/store/sqlstore"
)

type moveCmd struct {
	Config string `short:"c" default:"/etc/bellhop/bellhop.yaml" env:"BELLHOP_CONFIG" placeholder:"FILE" help:"Configuration file, whose store.url is the PostgreSQL (${default})."`
	File   string `arg:"" optional:"" help:"The SQLite database, or a copy of one (default: that in store.dir)."`
}

// Help is printed by move --help.
func (moveCmd) Help() string {
	return `Copies all that is in a SQLite database into an empty PostgreSQL, in one step: all of it is there afterwards, or nothing, and then try again. The file stays as it is. No daemon may run, of this node or of others; start them afterwards.

Keep the key ring (keys.dir), and copy it to the other nodes: the secrets in the database are sealed with it.`
}

// Run moves.
func (c moveCmd) Run(ctx context.Context, std stdio) error {
	conf, err := config.Load(c.Config, std.env)
	if err != nil {
		return err
	}
	if conf.Store.URL == "" {
		return fmt.Errorf("%s names no store.url to move to", c.Config)
	}
	password, err := conf.Store.Password(std.env)
	if err != nil {
		return err
	}
	keys, err := keyring.New(keyring.Options{Dir: conf.Keys.Dir})
	if err != nil {
		return fmt.Errorf("keys.dir: %w", err)
	}
	file := c.File
	if file == "" {
		file = filepath.Join(conf.Store.Dir, sqlstore.FileName)
	}
	rows, err := sqlstore.Move(ctx, file, sqlstore.Options{
		Journal: filepath.Join(conf.Store.Dir, "journal"), Node: uint16(conf.Node.Number), Keys: keys,
		PostgreSQL: &sqlstore.PostgreSQL{URL: conf.Store.URL, Password: password.Reveal(), Timeout: time.Duration(conf.Store.Timeout)},
	}, func(table string, rows int64) { std.say("%s: %d rows", table, rows) })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no database at %s: %w", file, err)
	case errors.Is(err, sqlstore.ErrInUse):
		return fmt.Errorf("a daemon runs: stop it first: %w", err)
	case errors.Is(err, sqlstore.ErrFilled):
		return fmt.Errorf("store.url: %w; an empty one is wanted", err)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(std.out, "%d rows of %s are in the PostgreSQL; start the daemons\n", rows, file)
	return err
}
