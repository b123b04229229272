package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
)

type userCmd struct {
	List     userList     `cmd:"" help:"List the users of a domain."`
	Add      userAdd      `cmd:"" help:"Add a user, with numbers and devices of their own if wanted."`
	Password userPassword `cmd:"" help:"Set a user's password, read from standard input."`
	Remove   userRemove   `cmd:"" help:"Remove a user. Numbers and devices stay and belong to nobody."`
}

// userFlags are common to the commands about users.
type userFlags struct {
	apiFlags
	Domain string `placeholder:"DOMAIN" help:"Domain of the user (default: that of the demo)."`
}

// open returns the API and the domain.
func (f userFlags) open(std stdio) (api *client, domain string, err error) {
	if api, err = f.client(std); err != nil {
		return nil, "", err
	}
	domain, err = api.orDemo(f.Domain)
	return api, domain, err
}

// A user as the API shows it.
type user struct {
	User    string   `json:"user"`
	Name    string   `json:"name"`
	Role    string   `json:"role"`
	State   string   `json:"state"`
	Numbers []string `json:"numbers"`
}

type userList struct {
	userFlags
	Query string `arg:"" optional:"" help:"Only users with this in their name or settings."`
}

// Run lists.
func (c userList) Run(ctx context.Context, std stdio) error {
	api, domain, err := c.open(std)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "USER\tNAME\tROLE\tNUMBERS")
	for cursor := ""; ; {
		var page struct {
			Items []user `json:"items"`
			Next  string `json:"next"`
		}
		query := url.Values{"limit": {"100"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if c.Query != "" {
			query.Set("q", c.Query)
		}
		if err := api.do(ctx, http.MethodGet, inDomain(domain, "users")+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, u := range page.Items {
			role := u.Role
			if u.State != "" && u.State != "active" {
				role += " (" + u.State + ")"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.User, u.Name, role, strings.Join(u.Numbers, " "))
		}
		if cursor = page.Next; cursor == "" {
			return w.Flush()
		}
	}
}

type userAdd struct {
	userFlags
	User   string   `arg:"" help:"Login name."`
	Name   string   `placeholder:"NAME" help:"Name for people."`
	Email  string   `placeholder:"ADDR" help:"E-mail address."`
	Role   string   `enum:"user,domain-admin" default:"user" help:"user or domain-admin (${default})."`
	Number []string `placeholder:"N" help:"Number to make for the user; may be given again."`
	Device []string `placeholder:"NAME" help:"Desk phone to make for the user, with the numbers as its lines; its secret is printed once."`
}

// Run adds. What was made before a failure stays, and is said.
func (c userAdd) Run(ctx context.Context, std stdio) error {
	api, domain, err := c.open(std)
	if err != nil {
		return err
	}
	create := func(path string, body map[string]any) error {
		if err := api.do(ctx, http.MethodPut, path, body, nil, "If-None-Match", "*"); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		std.say("made %s", path)
		return nil
	}
	body := map[string]any{"role": c.Role}
	if c.Name != "" {
		body["name"] = c.Name
	}
	if c.Email != "" {
		body["email"] = c.Email
	}
	if err := create(inDomain(domain, "users", c.User), body); err != nil {
		return err
	}
	var lines []map[string]any
	for _, n := range c.Number {
		if err := create(inDomain(domain, "numbers", n), map[string]any{"user": c.User}); err != nil {
			return err
		}
		lines = append(lines, map[string]any{"number": n})
	}
	if len(c.Number) > 0 { // in the user's order, once they are there
		if err := api.do(ctx, http.MethodPatch, inDomain(domain, "users", c.User), map[string]any{"numbers": c.Number}, nil); err != nil {
			return err
		}
	}
	for _, d := range c.Device {
		path := inDomain(domain, "devices", d)
		if err := create(path, map[string]any{"user": c.User, "kind": "desk", "lines": lines}); err != nil {
			return err
		}
		var made struct {
			Username string `json:"username"`
			Secret   string `json:"secret"`
		}
		if err := api.do(ctx, http.MethodPost, path+"/credentials", map[string]any{}, &made); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(std.out, "%s authenticates as %s with %s (shown once)\n", d, made.Username, made.Secret); err != nil {
			return err
		}
	}
	return nil
}

type userPassword struct {
	userFlags
	User string `arg:"" help:"Login name."`
}

// Run sets the password.
func (c userPassword) Run(ctx context.Context, std stdio) error {
	api, domain, err := c.open(std)
	if err != nil {
		return err
	}
	std.say("new password of %s:", c.User)
	line, err := bufio.NewReader(std.in).ReadString('\n')
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return errors.Join(errors.New("no password on standard input"), err)
	}
	return api.do(ctx, http.MethodPut, inDomain(domain, "users", c.User, "password"), map[string]any{"new": password}, nil)
}

type userRemove struct {
	userFlags
	User string `arg:"" help:"Login name."`
}

// Run removes.
func (c userRemove) Run(ctx context.Context, std stdio) error {
	api, domain, err := c.open(std)
	if err != nil {
		return err
	}
	return api.do(ctx, http.MethodDelete, inDomain(domain, "users", c.User), nil, nil)
}
