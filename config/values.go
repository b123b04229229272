package config

import (
	"fmt"
	"math"
	"strconv"
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

// Size is a number of bytes, written as 4MiB, 64KiB or plainly.
type Size int

// UnmarshalText implements [encoding.TextUnmarshaler].
func (z *Size) UnmarshalText(b []byte) error {
	digits, unit := string(b), 1
	for _, u := range sizeUnits() {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = rest, u.size
			break
		}
	}
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if err != nil || n < 0 || n > math.MaxInt32/unit {
		return fmt.Errorf("%q is no size; write 4194304, 64KiB or 4MiB, below 2GiB", b)
	}
	*z = Size(n * unit)
	return nil
}

// String returns the size with the largest unit that fits.
func (z Size) String() string {
	for _, u := range sizeUnits() {
		if z != 0 && int(z)%u.size == 0 {
			return strconv.Itoa(int(z)/u.size) + u.name
		}
	}
	return strconv.Itoa(int(z))
}

type sizeUnit struct {
	name string
	size int
}

func sizeUnits() [2]sizeUnit { return [2]sizeUnit{{"MiB", 1 << 20}, {"KiB", 1 << 10}} }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *Transport) UnmarshalText(b []byte) error {
	switch s := strings.ToLower(string(b)); s {
	case "udp":
		*t = Transport(s)
		return nil
	case "tcp", "tls", "ws", "wss":
		return fmt.Errorf("transport %s is not built yet; only udp is", s)
	default:
		return fmt.Errorf("%q is no transport; write udp", b)
	}
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
