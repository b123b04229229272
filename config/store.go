package config

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// validate reports what is wrong with where state is kept.
func (s Store) validate(fault func(path, format string, args ...any)) {
	if s.Dir == "" {
		fault("store.dir", "missing")
	}
	if n := s.Connections; n < 2 || n > 1000 {
		fault("store.connections", "%d is not between 2 and 1000", n)
	}
	between(fault, "store.timeout", s.Timeout, 100*time.Millisecond, time.Minute)
	if s.URL != "" {
		s.validateURL(fault)
	} else if s.PasswordFile != "" {
		fault("store.password_file", "set without store.url")
	}
}

// urlKeys are what may stand after the ? of store.url.
func urlKeys() []string {
	return []string{"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "search_path", "target_session_attrs"}
}

// validateURL never shows the URL: somebody may have put a password into it.
func (s Store) validateURL(fault func(path, format string, args ...any)) {
	u, err := url.Parse(s.URL)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		fault("store.url", "is no URL: %v", err)
		return
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		fault("store.url", "%q is no database that is known; write postgres://user@host/database", u.Scheme)
		return
	}
	q := u.Query()
	_, password := u.User.Password()
	switch {
	case password || q.Has("password"):
		fault("store.url", "has a password in it; put it into store.password_file or BELLHOP_STORE_PASSWORD")
	case u.User.Username() == "":
		fault("store.url", "names no user; write postgres://user@host/database")
	case strings.Trim(u.Path, "/") == "":
		fault("store.url", "names no database; write postgres://user@host/database")
	case u.Hostname() == "" && q.Get("host") == "":
		fault("store.url", "names no host; write postgres://user@host/database, or ?host=/run/postgresql for a Unix socket")
	}
	for key := range q {
		if !slices.Contains(urlKeys(), key) && key != "password" {
			fault("store.url", "%s is not among what may stand after the ?: %s", key, strings.Join(urlKeys(), ", "))
		}
	}
	secure := []string{"require", "verify-ca", "verify-full"}
	host := u.Hostname()
	if h := q.Get("host"); h != "" {
		host = h
	}
	if !local(host) && !slices.Contains(secure, q.Get("sslmode")) {
		fault("store.url", "%s is another host: sslmode is to be verify-full, verify-ca or require, or passwords and settings travel in the clear", host)
	}
}

// local reports whether a host of a database is this one: a folder of sockets, or
// a loopback address.
func local(host string) bool {
	if host == "" || strings.HasPrefix(host, "/") || host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
