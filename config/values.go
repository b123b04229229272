package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Duration is a time.Duration written as "30s" or "1h30m".
type Duration time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is no duration; write 500ms, 30s, 5m or 1h", b)
	}
	*d = Duration(v)
	return nil
}

// String returns the duration as the file would have it, without zero parts.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *Transport) UnmarshalText(b []byte) error {
	switch s := strings.ToLower(string(b)); s {
	case "udp", "tcp", "tls":
		*t = Transport(s)
		return nil
	case "ws", "wss":
		return fmt.Errorf("transport %s has no listener of its own; it is at https.bind, path /sip", s)
	default:
		return fmt.Errorf("%q is no transport; write udp, tcp or tls", b)
	}
}

// ParsePrefix reads an address, which is a prefix of its full length, or a prefix.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (n *Network) UnmarshalText(b []byte) error {
	switch v := Network(b); v {
	case Public, Private:
		*n = v
		return nil
	default:
		return fmt.Errorf("%q is neither public nor private", b)
	}
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (f *LogFormat) UnmarshalText(b []byte) error {
	switch v := LogFormat(b); v {
	case JSON, Text:
		*f = v
		return nil
	default:
		return fmt.Errorf("%q is neither json nor text", b)
	}
}
