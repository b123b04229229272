package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// A Secret never shows itself: not in logs, not in JSON, not in %v.
type Secret struct{ value string }

// NewSecret returns value as a secret.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value, to be used and not kept.
func (s Secret) Reveal() string { return s.value }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Secret) UnmarshalText(b []byte) error {
	s.value = string(b)
	return nil
}

// Equal reports whether two secrets are the same.
func (s Secret) Equal(o Secret) bool { return s.value == o.value }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.value == "" }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// String implements [fmt.Stringer].
func (Secret) String() string { return "REDACTED" }

// GoString implements [fmt.GoStringer].
func (Secret) GoString() string { return "REDACTED" }

// MarshalText implements [encoding.TextMarshaler].
func (Secret) MarshalText() ([]byte, error) { return []byte("REDACTED"), nil }

// minAdminToken is the length of an admin token at least, in characters.
const minAdminToken = 32

// AdminToken returns the token of the environment that makes its bearer a
// system-admin until there is one: BELLHOP_ADMIN_TOKEN, or the content of the
// file that BELLHOP_ADMIN_TOKEN_FILE names. Neither: the zero Secret.
func AdminToken(env Lookup) (Secret, error) {
	token, direct := env("BELLHOP_ADMIN_TOKEN")
	file, byFile := env("BELLHOP_ADMIN_TOKEN_FILE")
	switch {
	case direct && byFile:
		return Secret{}, errors.New("config: BELLHOP_ADMIN_TOKEN and BELLHOP_ADMIN_TOKEN_FILE are both set; choose one")
	case byFile:
		var err error
		if token, err = readSecret("BELLHOP_ADMIN_TOKEN_FILE", file); err != nil {
			return Secret{}, err
		}
	case !direct:
		return Secret{}, nil
	}
	if len(token) < minAdminToken {
		return Secret{}, fmt.Errorf("config: the admin token has %d characters; it needs %d or more", len(token), minAdminToken)
	}
	return Secret{token}, nil
}

// readSecret returns the content of a file that key names, without the spaces
// around it.
func readSecret(key, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("config: %s: %w", key, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", fmt.Errorf("config: %s: %w", key, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Password returns the password of the database: the content of
// store.password_file, or BELLHOP_STORE_PASSWORD of the environment. Neither: the
// zero Secret, which a Unix socket or a client certificate makes do with.
func (s Store) Password(env Lookup) (Secret, error) {
	value, direct := env("BELLHOP_STORE_PASSWORD")
	switch {
	case s.URL == "":
		return Secret{}, nil
	case direct && s.PasswordFile != "":
		return Secret{}, errors.New("config: BELLHOP_STORE_PASSWORD and store.password_file are both set; choose one")
	case direct:
		return Secret{value}, nil
	case s.PasswordFile == "":
		return Secret{}, nil
	}
	value, err := readSecret("store.password_file", s.PasswordFile)
	if err != nil {
		return Secret{}, err
	}
	if value == "" {
		return Secret{}, fmt.Errorf("config: store.password_file: %s is empty", s.PasswordFile)
	}
	return Secret{value}, nil
}
