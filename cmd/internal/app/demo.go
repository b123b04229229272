package app

import (
	"context"
	"errors"
	"net/netip"
)

// A DemoUser is a person of the demo.
type DemoUser struct {
	User     string       `json:"user"`
	Number   string       `json:"number"`
	Password string       `json:"password"` // of the sign-in
	Devices  []DemoDevice `json:"devices"`
}

// A DemoDevice is a phone of the demo.
type DemoDevice struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// A Demo is the house that `bellhop demo` shows.
type Demo struct {
	Domain  string
	Aliases []string
	Users   []DemoUser
}

var errNotWired = errors.New("app: the store is not wired yet")

// ProvisionDemo puts the people of the demo in the store.
func (a *App) ProvisionDemo(context.Context, Demo) error { return errNotWired }

// SIPAddr is the address of the first SIP listener.
func (a *App) SIPAddr() netip.AddrPort { return netip.AddrPort{} }
