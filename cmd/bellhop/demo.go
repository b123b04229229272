package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"bellhop/cmd/internal/app"
	"bellhop/config"
)

type demoCmd struct {
	Dir      string           `default:".demo" placeholder:"DIR" help:"Folder of its state (${default}); kept over restarts."`
	SIP      netip.AddrPort   `name:"sip" placeholder:"ADDR" help:"SIP over UDP and TCP (127.0.0.1:5060)."`
	MoreSIP  []netip.AddrPort `name:"more-sip" placeholder:"ADDR" help:"Another address for SIP over UDP and TCP, such as [::1]:5060; may be given again."`
	SIPS     netip.AddrPort   `name:"sips" placeholder:"ADDR" help:"SIP over TLS, such as 127.0.0.1:5061; with a certificate that the demo signs itself."`
	HTTPS    netip.AddrPort   `name:"https" placeholder:"ADDR" help:"Control API (127.0.0.1:8443)."`
	Metrics  netip.AddrPort   `placeholder:"ADDR" help:"Health and metrics on a listener of their own."`
	Redis    string           `placeholder:"URL" help:"Redis to share registrations and settings through, such as redis://127.0.0.1:6379."`
	Password string           `placeholder:"PW" help:"Password of every device and of every user's sign-in, instead of generated ones."`
	Trunk    string           `placeholder:"HOST:PORT" help:"Trunk for numbers that begin with +, trusted by exactly that address and port."`
	Digest   []string         `placeholder:"ALG" enum:"SHA-256,MD5,sha-256,md5" help:"Algorithms that phones are offered, the preferred one first (SHA-256,MD5); MD5 alone for tools that know no other."`
	Users    int              `placeholder:"N" help:"So many people more, with the numbers from 10001 and a desk phone each, who cannot sign in: for load tests."`
	Expose   bool             `help:"Listen beyond loopback: generates secrets, ignores --password and --trunk."`
}

// Help is printed by demo --help.
func (demoCmd) Help() string {
	return `Domain bellhop.test, users ana, ben, cleo, dan and eve with the numbers 1001 to 1005, each with a desk phone (desk-1001) and a browser (web-1001); hunt group 1100.

A phone registers sip:1001@bellhop.test with the authorization name desk-1001. When all is up, one line of JSON on standard output says where everything is and what the passwords are; DIR/demo.json has it too. Stop it with ^C.`
}

// demoFile is where a demo keeps what it prints. Its presence marks a folder as
// that of a demo.
const demoFile = "demo.json"

// demoDomain is the domain of the demo.
const demoDomain = "bellhop.test"

// The numbers of the people that --users adds.
const (
	firstExtra = 10_001
	maxExtra   = 50_000
)

// A demoInfo is what a demo prints.
type demoInfo struct {
	SIP        string         `json:"sip"`
	SIPS       string         `json:"sips"` // "" without --sips
	HTTPS      string         `json:"https"`
	Domain     string         `json:"domain"`
	AdminToken string         `json:"admin_token"`
	Users      []app.DemoUser `json:"users"`
}

// Run runs the demo until it is told to stop.
func (c demoCmd) Run(ctx context.Context, std stdio) error {
	if c.Users < 0 || c.Users > maxExtra {
		return fmt.Errorf("--users %d: between 0 and %d", c.Users, maxExtra)
	}
	c.warn(std)
	if err := c.addresses(); err != nil {
		return err
	}
	trunk, err := c.trunk(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	info, err := c.secrets()
	if err != nil {
		return err
	}
	host := c.advertised(c.SIP)
	info.SIP, info.HTTPS = host.String(), "https://"+c.advertised(c.HTTPS).String()
	if err := writeDemo(c.Dir, info); err != nil { // early: it marks the folder
		return err
	}
	names := []string{"localhost", demoDomain}
	ips := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), host.Addr(), c.advertised(c.HTTPS).Addr()}
	if c.SIPS.IsValid() {
		ips = append(ips, c.advertised(c.SIPS).Addr())
	}
	cert, key := filepath.Join(c.Dir, "cert.pem"), filepath.Join(c.Dir, "key.pem")
	if err := selfSigned(cert, key, names, ips); err != nil {
		return err
	}
	conf, err := c.config(cert, key)
	if err != nil {
		return err
	}
	a, err := app.New(ctx, app.Options{Config: conf, AdminToken: config.NewSecret(info.AdminToken), Version: version(), Log: std.err})
	if err != nil {
		return err
	}
	aliases := []string{"127.0.0.1", "::1", "localhost"}
	if ip := host.Addr(); !ip.IsLoopback() {
		aliases = append(aliases, ip.String())
	}
	if err := a.ProvisionDemo(ctx, app.Demo{Domain: demoDomain, Aliases: aliases, Users: info.Users, Trunk: trunk}); err != nil {
		return errors.Join(err, a.Close())
	}
	info.SIP = netip.AddrPortFrom(host.Addr(), a.SIPAddr(config.UDP).Port()).String()
	info.SIPS = ""
	if c.SIPS.IsValid() {
		info.SIPS = netip.AddrPortFrom(c.advertised(c.SIPS).Addr(), a.SIPAddr(config.TLS).Port()).String()
	}
	info.HTTPS = "https://" + netip.AddrPortFrom(c.advertised(c.HTTPS).Addr(), a.HTTPSAddr().Port()).String()
	return supervise(ctx, a, func() error { return c.announce(std, info) })
}

// warn says what was asked for and is ignored.
func (c demoCmd) warn(std stdio) {
	say := func(asked bool, format string, args ...any) {
		if asked {
			std.say("bellhop: "+format, args...)
		}
	}
	say(c.Trunk != "" && c.Expose, "--trunk is ignored with --expose")
	say(c.Password != "" && c.Expose, "--password is ignored with --expose; generated passwords are in %s", filepath.Join(c.Dir, demoFile))
}

// trunk returns the address of the trunk, zero for none. A name is looked up
// once: the trunk is trusted by an address.
func (c *demoCmd) trunk(ctx context.Context) (netip.AddrPort, error) {
	if c.Trunk == "" || c.Expose {
		return netip.AddrPort{}, nil
	}
	if a, err := netip.ParseAddrPort(c.Trunk); err == nil && a.Port() != 0 {
		return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()), nil
	}
	host, text, err := net.SplitHostPort(c.Trunk)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err != nil || portErr != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("--trunk %s: want HOST:PORT", c.Trunk)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("--trunk %s: %w", c.Trunk, err)
	}
	return netip.AddrPortFrom(found[0].Unmap(), uint16(port)), nil
}

// addresses fills in the addresses that were not given, and keeps those that
// were on loopback unless exposed.
func (c *demoCmd) addresses() error {
	any4 := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if c.Expose {
		any4 = netip.IPv4Unspecified()
	}
	if !c.SIP.IsValid() {
		c.SIP = netip.AddrPortFrom(any4, 5060)
	}
	if !c.HTTPS.IsValid() {
		c.HTTPS = netip.AddrPortFrom(any4, 8443)
	}
	type listener struct {
		flag string
		at   netip.AddrPort
	}
	ls := []listener{{"--sip", c.SIP}, {"--https", c.HTTPS}, {"--sips", c.SIPS}, {"--metrics", c.Metrics}}
	for _, at := range c.MoreSIP {
		ls = append(ls, listener{"--more-sip", at})
	}
	for _, l := range ls {
		if l.at.IsValid() && !l.at.Addr().IsLoopback() && !c.Expose {
			return fmt.Errorf("%s %s is beyond loopback: a demo needs --expose for that", l.flag, l.at)
		}
	}
	return nil
}

// advertised is the address others reach ap by: of a wildcard, that of the
// interface towards the rest of the network.
func (c *demoCmd) advertised(ap netip.AddrPort) netip.AddrPort {
	if !ap.Addr().IsUnspecified() {
		return ap
	}
	target := "192.0.2.1:9" // RFC 5737; connecting a UDP socket sends nothing
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if ap.Addr().Is6() {
		target, local = "[2001:db8::1]:9", netip.IPv6Loopback()
	}
	var d net.Dialer
	if conn, err := d.Dial("udp", target); err == nil {
		if at, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			local = at.AddrPort().Addr().Unmap()
		}
		_ = conn.Close()
	}
	return netip.AddrPortFrom(local, ap.Port())
}

// config is the configuration of the daemon that the demo is.
func (c *demoCmd) config(cert, key string) (*config.Config, error) {
	conf := config.Default()
	conf.Node.Name = "demo"
	listen := func(at netip.AddrPort, over ...config.Transport) {
		for _, tr := range over {
			l := config.DefaultListener()
			l.Bind, l.Advertise, l.Transport = at, c.advertised(at), tr
			conf.SIP.Listeners = append(conf.SIP.Listeners, l)
		}
	}
	for _, at := range append([]netip.AddrPort{c.SIP}, c.MoreSIP...) {
		listen(at, config.UDP, config.TCP)
	}
	if c.SIPS.IsValid() {
		listen(c.SIPS, config.TLS)
	}
	if len(c.Digest) > 0 {
		conf.SIP.Digest = nil
		for _, alg := range c.Digest {
			conf.SIP.Digest = append(conf.SIP.Digest, strings.ToUpper(alg))
		}
	}
	conf.HTTPS = config.HTTPS{Bind: c.HTTPS, Cert: cert, Key: key}
	conf.Metrics.Bind = c.Metrics
	conf.Store.Dir = filepath.Join(c.Dir, "store")
	conf.Keys.Dir = filepath.Join(c.Dir, "keys")
	conf.Store.Redis = config.NewSecret(c.Redis)
	conf.Log.Format = config.Text
	return conf, conf.Validate()
}

// announce says on one line, and in the folder, where everything is.
func (c *demoCmd) announce(std stdio, info *demoInfo) error {
	if err := writeDemo(c.Dir, info); err != nil {
		return err
	}
	line, err := json.Marshal(info)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s\n", line)
	return err
}

// readDemo reads what a demo in dir printed last.
func readDemo(dir string) (*demoInfo, error) {
	b, err := os.ReadFile(filepath.Join(dir, demoFile))
	if err != nil {
		return nil, err
	}
	var info demoInfo
	if err := json.Unmarshal(b, &info); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, demoFile), err)
	}
	return &info, nil
}

// writeDemo replaces the file in one step, so that nobody reads half of it.
func writeDemo(dir string, info *demoInfo) error {
	b, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, demoFile+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, demoFile))
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// secrets returns the people of the demo with their passwords: those of the
// last run, unless other ones were asked for.
func (c *demoCmd) secrets() (*demoInfo, error) {
	info, err := readDemo(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		info = &demoInfo{}
	} else if err != nil {
		return nil, err
	}
	info.Domain = demoDomain
	info.AdminToken = cmp.Or(info.AdminToken, generate()+generate())
	old := make(map[string]string) // user or device to password
	for _, u := range info.Users {
		old[u.User] = u.Password
		for _, d := range u.Devices {
			old[d.Name] = d.Password
		}
	}
	password := func(name string) string {
		switch kept := old[name]; {
		case c.Password != "" && !c.Expose:
			return c.Password
		case kept == "", c.Expose && !generated(kept, old):
			return generate()
		default:
			return kept
		}
	}
	info.Users = nil
	for i, name := range []string{"ana", "ben", "cleo", "dan", "eve"} {
		number := fmt.Sprint(1001 + i)
		u := app.DemoUser{User: name, Number: number, Password: password(name)}
		for _, d := range []string{"desk-" + number, "web-" + number} {
			u.Devices = append(u.Devices, app.DemoDevice{Name: d, Password: password(d)})
		}
		info.Users = append(info.Users, u)
	}
	for i := range c.Users {
		number := fmt.Sprint(firstExtra + i)
		desk := "desk-" + number
		info.Users = append(info.Users, app.DemoUser{
			User: "user-" + number, Number: number, Devices: []app.DemoDevice{{Name: desk, Password: password(desk)}},
		})
	}
	return info, nil
}
