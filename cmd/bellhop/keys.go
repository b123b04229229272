package main

import (
	"errors"
	"fmt"
	"io/fs"

	"bellhop/store/keyring"
)

type keysCmd struct {
	Dir string `arg:"" help:"Folder of the ring; made with mode 0700. keys.dir names it."`
}

// Help is printed by keys --help.
func (keysCmd) Help() string {
	return `Nodes that share a PostgreSQL share a key ring: what one sealed, the others open. So a node there makes none by itself. Make one once, and copy the folder to every node, files with mode 0600 that belong to the user of the daemon.`
}

// Run makes a ring.
func (c keysCmd) Run(std stdio) error {
	switch _, err := keyring.New(keyring.Options{Dir: c.Dir}); {
	case err == nil:
		return fmt.Errorf("%s has a key ring already", c.Dir)
	case !errors.Is(err, keyring.ErrEmpty) && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if _, err := keyring.New(keyring.Options{Dir: c.Dir, Create: true}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(std.out, "%s has a new key ring: copy the folder to every node, and keep a copy elsewhere\n", c.Dir)
	return err
}
