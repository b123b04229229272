package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"bellhop/cmd/internal/app"
	"bellhop/config"
)

type serveCmd struct {
	Config string `short:"c" default:"/etc/bellhop/bellhop.yaml" env:"BELLHOP_CONFIG" placeholder:"FILE" help:"Configuration file (${default}; see docs/config.md)."`
}

// Help is printed by serve --help.
func (serveCmd) Help() string {
	return `SIGHUP reads the configuration again; a bad one is reported and the old one stays.
SIGTERM and SIGINT drain: new calls are refused, those under way go on for drain_timeout; a second one stops at once.
BELLHOP_ADMIN_TOKEN or BELLHOP_ADMIN_TOKEN_FILE: a token of 32 characters or more that makes its bearer a system-admin until there is one.
BELLHOP_STORE_PASSWORD: the password of store.url, unless store.password_file has it.`
}

// Run serves until it is told to stop.
func (c serveCmd) Run(ctx context.Context, std stdio) error {
	load := func() (*config.Config, error) { return config.Load(c.Config, std.env) }
	conf, err := load()
	if err != nil {
		return err
	}
	if err := refuseDemo(conf); err != nil {
		return err
	}
	token, err := config.AdminToken(std.env)
	if err != nil {
		return err
	}
	password, err := conf.Store.Password(std.env)
	if err != nil {
		return err
	}
	a, err := app.New(ctx, app.Options{Config: conf, Load: load, AdminToken: token, StorePassword: password, Version: version(), Log: std.err})
	if err != nil {
		return err
	}
	return supervise(ctx, a, func() error { return nil })
}

// refuseDemo keeps a daemon off the state of a demo, whose passwords are known.
func refuseDemo(c *config.Config) error {
	for _, p := range []string{c.Store.Dir, c.Keys.Dir, c.HTTPS.Cert, c.HTTPS.Key} {
		if p == "" {
			continue
		}
		for _, dir := range []string{p, filepath.Dir(p)} {
			if _, err := os.Stat(filepath.Join(dir, demoFile)); err == nil {
				return fmt.Errorf("%s belongs to a demo, whose secrets are no secrets: use another folder", dir)
			}
		}
	}
	return nil
}

// supervise runs a and hands it the signals of the process: HUP reloads, the
// first TERM or INT drains, the second stops at once. It calls ready when a
// serves.
func supervise(ctx context.Context, a *app.App, ready func() error) error {
	hup, term := make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(hup, syscall.SIGHUP)
	signal.Notify(term, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(hup)
	defer signal.Stop(term)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()

	up := a.Up()
	var drained chan struct{}
	for {
		select {
		case err := <-done:
			return err
		case <-up:
			up = nil
			if err := ready(); err != nil {
				stop()
				return errors.Join(err, <-done)
			}
		case <-hup:
			_, _ = a.Reload(ctx) // it logs what it did, or why not
		case <-drained:
			stop()
			drained = nil
		case <-term:
			if drained != nil {
				stop()
				continue
			}
			drained = make(chan struct{})
			go func() {
				defer close(drained)
				a.WindDown(ctx)
			}()
		}
	}
}

type checkCmd struct {
	File string `arg:"" help:"Configuration file."`
}

// Help is printed by check --help.
func (checkCmd) Help() string {
	return "Every fault is one line: file:line: key: what is wrong. What a file names (certificate, folders) is looked at too. Nothing is changed. The exit status is 1 when something is wrong."
}

// Run checks the file.
func (c checkCmd) Run(std stdio) error {
	conf, err := config.Load(c.File, std.env)
	if e, ok := errors.AsType[*config.Error](err); ok {
		std.say("%v", e)
		return errSaid
	}
	if err != nil {
		return err
	}
	_, tokenErr := config.AdminToken(std.env)
	_, passwordErr := conf.Store.Password(std.env)
	if err := errors.Join(refuseDemo(conf), app.Check(conf), tokenErr, passwordErr); err != nil {
		std.say("%s: %v", c.File, err)
		return errSaid
	}
	_, err = fmt.Fprintf(std.out, "%s is fine: %d SIP listeners, API on %s, drains for %s\n",
		c.File, len(conf.SIP.Listeners), conf.HTTPS.Bind, time.Duration(conf.DrainTimeout))
	return err
}
