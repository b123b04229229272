package config

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"time"
)

// The parser's time and memory grow with the square of how deep a text nests,
// so what no configuration needs is refused before it is parsed.
const (
	maxFile  = 64 << 10 // bytes
	maxLine  = 1000     // bytes
	maxDepth = 20       // of brackets
)

// A Lookup finds a variable of the environment, as [os.LookupEnv] does.
type Lookup func(name string) (value string, ok bool)

// Load reads the file at path. Relative paths in it are relative to its
// folder. The error is an [*Error] when the file could be read.
func Load(path string, env Lookup) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	c, err := Parse(path, text, env)
	if err != nil {
		return nil, err
	}
	c.resolve(filepath.Dir(path))
	return c, nil
}

// Parse reads text, the content of the file name, completes and validates it.
// It opens nothing. The error is an [*Error].
func Parse(name string, text []byte, env Lookup) (*Config, error) {
	d := decoder{lookup: env, lines: make(map[string]int)}
	c := Default()
	if !d.bounded(text) || !d.file(text, c) {
		return nil, failed(name, d.faults)
	}
	bad := make(map[string]bool)
	for _, f := range d.faults {
		bad[f.Path] = true
	}
	c.complete()
	c.validate(func(path, format string, args ...any) {
		if !bad[path] { // what could not be read is reported once
			d.fault(path, d.line(path), format, args...)
		}
	})
	if err := failed(name, d.faults); err != nil {
		return nil, err
	}
	return c, nil
}

// Validate checks a configuration that was made by hand and fills in what
// follows from the rest. The error is an [*Error].
func (c *Config) Validate() error {
	var faults []Fault
	c.complete()
	c.validate(func(path, format string, args ...any) {
		faults = append(faults, Fault{Path: path, Message: fmt.Sprintf(format, args...)})
	})
	return failed("config", faults)
}

// complete fills in the defaults that depend on other keys.
func (c *Config) complete() {
	if c.SIP.Listeners == nil {
		l := DefaultListener()
		l.Bind = netip.MustParseAddrPort("127.0.0.1:5060")
		c.SIP.Listeners = []Listener{l}
	}
	for i := range c.SIP.Listeners {
		if l := &c.SIP.Listeners[i]; !l.Advertise.IsValid() && !l.Bind.Addr().IsUnspecified() {
			l.Advertise = l.Bind
		}
	}
	if c.Keys.Dir == "" && c.Store.Dir != "" {
		c.Keys.Dir = filepath.Join(c.Store.Dir, "keys")
	}
}

// resolve makes relative paths absolute or relative to the working folder.
func (c *Config) resolve(dir string) {
	for _, p := range []*string{
		&c.HTTPS.Cert, &c.HTTPS.Key, &c.SIP.TLS.Cert, &c.SIP.TLS.Key, &c.SIP.TLS.ClientCA, &c.SIP.TLS.TrunkCA, &c.Store.Dir, &c.Store.PasswordFile, &c.Keys.Dir,
	} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// validate reports what is wrong with values that can be read.
func (c *Config) validate(fault func(path, format string, args ...any)) {
	if !regexp.MustCompile(`^[A-Za-z0-9-]{1,16}$`).MatchString(c.Node.Name) {
		fault("node.name", "%q is no name of 1 to 16 letters, digits and '-'", c.Node.Name)
	}
	if n := c.Node.Number; n < 1 || n > 255 {
		fault("node.number", "%d is not between 1 and 255", n)
	}
	c.SIP.validate(fault)
	c.SIP.Timers.validate(fault)
	c.SIP.UDP.validate(fault)
	c.HTTPS.validate(fault)
	if c.Metrics.Bind.IsValid() && c.Metrics.Bind == c.HTTPS.Bind && c.Metrics.Bind.Port() != 0 {
		fault("metrics.bind", "%s is taken by https.bind", c.Metrics.Bind)
	}
	c.Store.validate(fault)
	c.Limits.validate(fault)
	c.Registration.validate(fault)
	c.secure(fault)
	between(fault, "drain_timeout", c.DrainTimeout, 0, time.Hour)
}

// secure checks what TLS listeners of SIP need.
func (c *Config) secure(fault func(path, format string, args ...any)) {
	if (c.SIP.TLS.Cert == "") != (c.SIP.TLS.Key == "") {
		fault("sip.tls", "cert and key belong together")
	}
	for i, l := range c.SIP.Listeners {
		path := fmt.Sprintf("sip.listeners[%d]", i)
		if l.Transport == TLS && c.HTTPS.Plain && c.SIP.TLS.Cert == "" {
			fault(path+".transport", "tls needs sip.tls.cert and key")
		}
		if l.Transport != UDP && l.Bind.Port() != 0 && l.Bind == c.HTTPS.Bind {
			fault(path+".bind", "%s is taken by https.bind", l.Bind)
		}
	}
}

func (t SIPTimers) validate(fault func(path, format string, args ...any)) {
	between(fault, "sip.timers.t1", t.T1, 100*time.Millisecond, 5*time.Second)
	between(fault, "sip.timers.t2", t.T2, time.Second, 40*time.Second)
	between(fault, "sip.timers.t4", t.T4, time.Second, 40*time.Second)
	between(fault, "sip.timers.c", t.C, 3*time.Minute+time.Second, 15*time.Minute) // RFC 3261 §16.6: more than 3 minutes
	if t.T2 < t.T1 {
		fault("sip.timers.t2", "%s is below t1, %s", time.Duration(t.T2), time.Duration(t.T1))
	}
}

func (u SIPUDP) validate(fault func(path, format string, args ...any)) {
	const low, high = 64 << 10, 256 << 20 // a message has up to 64 KiB
	for _, b := range []struct {
		key string
		n   int
	}{{"receive_buffer", u.ReceiveBuffer}, {"send_buffer", u.SendBuffer}} {
		if b.n < low || b.n > high {
			fault("sip.udp."+b.key, "%d is not between %d and %d bytes", b.n, low, high)
		}
	}
}

func (l Limits) validate(fault func(path, format string, args ...any)) {
	upTo := func(key string, n, high int) {
		if n < 1 || n > high {
			fault("limits."+key, "%d is not between 1 and %d", n, high)
		}
	}
	upTo("calls", l.Calls, 1_000_000)
	upTo("connections", l.Connections, 1_000_000)
	upTo("connections_per_source", l.ConnectionsPerSource, 1_000_000)
	upTo("connections_unproven", l.ConnectionsUnproven, 100_000)
	between(fault, "limits.connection_idle", l.ConnectionIdle, time.Minute, 25*time.Hour)
}

func (s SIP) validate(fault func(path, format string, args ...any)) {
	if s.Ladder < 0 || s.Ladder > 4<<30 {
		fault("sip.ladder", "%d is not between 0 and %d bytes", s.Ladder, 4<<30)
	}
	if len(s.Listeners) == 0 {
		fault("sip.listeners", "is empty; nobody could call")
	}
	type place struct {
		at       netip.AddrPort
		datagram bool
	}
	bound := make(map[place]int)
	for i, l := range s.Listeners {
		path := fmt.Sprintf("sip.listeners[%d]", i)
		if !l.Bind.IsValid() {
			fault(path+".bind", "missing")
			continue
		}
		here, beside := place{l.Bind, l.Transport == UDP}, place{l.Bind, l.Transport != UDP}
		if first, taken := bound[here]; taken && l.Bind.Port() != 0 {
			fault(path+".bind", "%s is taken by sip.listeners[%d]", l.Bind, first)
		}
		if first, other := bound[beside]; other && s.Listeners[first].Advertise != l.Advertise {
			fault(path+".advertise", "%s is not that of sip.listeners[%d], which has the same bind", l.Advertise, first)
		}
		bound[here] = i
		l.validateFronts(path, fault)
		switch {
		case !l.Advertise.IsValid():
			fault(path+".advertise", "missing; %s cannot be reached by that name", l.Bind)
		case l.Advertise.Addr().IsUnspecified():
			fault(path+".advertise", "%s cannot be reached", l.Advertise)
		case l.Advertise.Addr().Unmap().Is4() != l.Bind.Addr().Unmap().Is4():
			fault(path+".advertise", "%s is of another address family than bind %s", l.Advertise, l.Bind)
		}
	}
	if len(s.Digest) == 0 {
		fault("sip.digest", "is empty; nobody could register")
	}
	for i, alg := range s.Digest {
		if alg != "MD5" && alg != "SHA-256" {
			fault(fmt.Sprintf("sip.digest[%d]", i), "%q is neither SHA-256 nor MD5", alg)
		}
	}
}

func (l Listener) validateFronts(path string, fault func(path, format string, args ...any)) {
	for i, from := range l.ProxyProtocolFrom {
		if _, err := ParsePrefix(from); err != nil {
			fault(fmt.Sprintf("%s.proxy_protocol_from[%d]", path, i), "%q is no address and no prefix; write 192.0.2.1 or 192.0.2.0/24", from)
		}
	}
	if len(l.ProxyProtocolFrom) > 0 && l.Transport == UDP {
		fault(path+".proxy_protocol_from", "is for tcp and tls")
	}
}

func (h HTTPS) validate(fault func(path, format string, args ...any)) {
	if !h.Bind.IsValid() {
		fault("https.bind", "missing")
	}
	for i, host := range h.Origins {
		if _, err := path.Match(host, ""); err != nil || host == "" {
			fault(fmt.Sprintf("https.origins[%d]", i), "%q is no host and no pattern", host)
		}
	}
	switch {
	case h.Plain && h.Bind.IsValid() && !h.Bind.Addr().IsLoopback():
		fault("https.plain", "%s is no loopback address: passwords would travel in the clear", h.Bind)
	case h.Plain && (h.Cert != "" || h.Key != ""):
		fault("https.plain", "set beside cert or key; choose one")
	case !h.Plain && h.Cert == "":
		fault("https.cert", "missing (or plain: true on a loopback address)")
	}
	if !h.Plain && h.Key == "" {
		fault("https.key", "missing")
	}
}

func (r Registration) validate(fault func(path, format string, args ...any)) {
	between(fault, "registration.min_expires", r.MinExpires, time.Second, time.Hour) // RFC 3261 §10.3 step 6: 423 is for less than an hour
	between(fault, "registration.max_expires", r.MaxExpires, time.Minute, 24*time.Hour)
	if r.MaxExpires < r.MinExpires {
		fault("registration.max_expires", "%s is below min_expires (%s)", r.MaxExpires, r.MinExpires)
	}
	if n := r.Contacts; n < 1 || n > 100 {
		fault("registration.contacts", "%d is not between 1 and 100", n)
	}
	if n := r.Instances; n < 1 || n > 100 {
		fault("registration.instances", "%d is not between 1 and 100", n)
	}
}

func between(fault func(path, format string, args ...any), path string, d Duration, low, high time.Duration) {
	if v := time.Duration(d); v < low || v > high {
		fault(path, "%s is not between %s and %s", d, Duration(low), Duration(high))
	}
}
