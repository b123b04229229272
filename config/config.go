// Package config reads the configuration of a node: strict decoding of a YAML
// file over defaults, then validation, with all faults at once, each with its
// line and path. A Config that [Load] returned is valid and never changes; a
// reload makes a new one and [Diff] says what of it can be applied at once.
//
// The file configures the node only: listeners, stores, keys, limits, timers
// and the log. All that has a domain is in SQL and is changed by the API.
// Nothing is in both.
//
// The package starts no goroutine and opens nothing but the files it is given.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is the whole configuration of a node. In the tags, change says what a
// reload does with a key: "reload" is applied at once, "restart" waits.
type Config struct {
	Node         Node         `yaml:"node"`
	SIP          SIP          `yaml:"sip"`
	HTTPS        HTTPS        `yaml:"https"`
	Metrics      Metrics      `yaml:"metrics"`
	Store        Store        `yaml:"store"`
	Keys         Keys         `yaml:"keys"`
	Limits       Limits       `yaml:"limits"`
	Registration Registration `yaml:"registration"`
	Log          Log          `yaml:"log"`
	DrainTimeout Duration     `yaml:"drain_timeout" change:"reload" doc:"How long a stop waits for calls that still ring. Answered ones live on without the process."`
}

// Node names this node among those that share a store.
type Node struct {
	Name   string `yaml:"name" change:"restart" doc:"Name of this node for people; letters, digits and '-', at most 16."`
	Number int    `yaml:"number" change:"restart" doc:"Number of this node in tokens and call ids, 1 to 255; different on every node that shares a store."`
}

// SIP configures signalling.
type SIP struct {
	Listeners []Listener `yaml:"listeners" change:"restart" doc:"Where phones and peers reach this node; at least one. Default: 127.0.0.1:5060."`
	Digest    []string   `yaml:"digest" change:"restart" doc:"Algorithms that phones are offered, the preferred one first: SHA-256, MD5."`
	TLS       SIPTLS     `yaml:"tls"`
	Timers    SIPTimers  `yaml:"timers"`
	UDP       SIPUDP     `yaml:"udp"`
	Ladder    int        `yaml:"ladder" change:"restart" doc:"Memory for the last SIP messages, in bytes, from which the ladder of a call is read; 0 keeps none."`
	MD5Only   []string   `yaml:"md5_only" change:"restart" doc:"Beginnings of User-Agent of phones that are offered MD5 alone, because they register nowhere when SHA-256 stands beside it."`
}

// A Listener is one address that SIP is spoken on.
type Listener struct {
	Bind      netip.AddrPort `yaml:"bind" doc:"Address and port to listen on."`
	Advertise netip.AddrPort `yaml:"advertise" doc:"Address and port written into Via, Record-Route and Contact; needed behind 1:1 NAT and when bind is a wildcard. Default: bind."`
	Transport Transport      `yaml:"transport" doc:"'udp', 'tcp' or 'tls'. Browsers speak SIP over WebSocket at https.bind, path /sip."`
	Network   Network        `yaml:"network" doc:"'public', or 'private': every host that can send to it is trusted not to forge source addresses. Over UDP, a trunk that proves itself by its address needs a private listener."`

	ProxyProtocolFrom []string `yaml:"proxy_protocol_from" doc:"Addresses or prefixes of load balancers, for tcp and tls: a connection from one begins with a header of the PROXY protocol (version 1 or 2) that says who connects."`
}

// SIPTimers are the timers of RFC 3261 §17 that a node may choose.
type SIPTimers struct {
	T1 Duration `yaml:"t1" change:"restart" doc:"Round trip estimate: a message that may be lost is sent again after it, then after twice that; a transaction is given up after 64 of it. Longer for slow networks (satellite), shorter on networks of your own only."`
	T2 Duration `yaml:"t2" change:"restart" doc:"Longest time between two retransmissions of anything but an INVITE; not shorter than t1."`
	T4 Duration `yaml:"t4" change:"restart" doc:"How long the network keeps a message at most."`
	C  Duration `yaml:"c" change:"restart" doc:"How long a proxied INVITE may ring without news (Timer C). Rule ring.clock ends the ringing of our numbers at 170 s, before it."`
}

// SIPUDP configures the sockets of UDP listeners; there is one for each core.
type SIPUDP struct {
	ReceiveBuffer int `yaml:"receive_buffer" change:"restart" doc:"Buffer of a socket for what comes in, in bytes: what does not fit is lost. Above net.core.rmem_max it takes CAP_NET_ADMIN."`
	SendBuffer    int `yaml:"send_buffer" change:"restart" doc:"Buffer of a socket for what goes out, in bytes (net.core.wmem_max)."`
}

// SIPTLS configures certificates of SIP.
type SIPTLS struct {
	Cert     string `yaml:"cert" change:"reload" doc:"File with the certificate chain (PEM) of TLS listeners, which is also shown to trunks that ask for one. A reload reads it again; open connections stay. Default: https.cert."`
	Key      string `yaml:"key" change:"reload" doc:"File with its private key (PEM). Default: https.key."`
	ClientCA string `yaml:"client_ca" change:"restart" doc:"File with the authorities (PEM) whose certificates prove a trunk that connects to us. Not set: no certificate is asked for."`
	TrunkCA  string `yaml:"trunk_ca" change:"restart" doc:"File with the authorities (PEM) that we trust when we connect to a trunk over TLS. Default: those of the system."`
}

// HTTPS configures the listener of the control API.
type HTTPS struct {
	Bind    netip.AddrPort `yaml:"bind" change:"restart" doc:"Address and port of the control API."`
	Cert    string         `yaml:"cert" change:"reload" doc:"File with the certificate chain (PEM). A reload reads it again."`
	Key     string         `yaml:"key" change:"reload" doc:"File with the private key (PEM). A reload reads it again."`
	Origins []string       `yaml:"origins" change:"restart" doc:"Hosts whose pages may speak SIP over WebSocket here, such as portal.example.com or *.example.com. Pages of this listener itself always may."`
	Plain   bool           `yaml:"plain" change:"restart" doc:"Speak HTTP without TLS; only on a loopback address, behind a proxy of yours."`
}

// Metrics configures the listener for health and metrics.
type Metrics struct {
	Bind netip.AddrPort `yaml:"bind" change:"restart" doc:"Address and port for /healthz, /readyz and /metrics without sign-in. Not set: they are on the API's listener, /metrics behind a token."`
}

// Store configures where state is kept.
type Store struct {
	Dir string `yaml:"dir" change:"restart" doc:"Folder of the SQLite file and the call journal; made with mode 0700 when missing."`
	URL string `yaml:"url" change:"restart" doc:"PostgreSQL in place of the SQLite file, for several nodes: postgres://user@host/database?sslmode=verify-full. On a Unix socket: postgres://user@/database?host=/run/postgresql."`

	PasswordFile string   `yaml:"password_file" change:"restart" doc:"File with the password of store.url. Or the environment has it, in BELLHOP_STORE_PASSWORD."`
	Connections  int      `yaml:"connections" change:"restart" doc:"Connections to PostgreSQL at one time; one more listens."`
	Timeout      Duration `yaml:"timeout" change:"restart" doc:"How long PostgreSQL may be silent before it counts as away."`
	Redis        Secret   `yaml:"redis" change:"restart" doc:"URL of the Redis that nodes share: redis://HOST:PORT, rediss:// (TLS), unix:///PATH, redis+sentinel://HOST:PORT?master_name=NAME, redis+cluster://HOST:PORT; addr=HOST:PORT, repeated, names more of them. On another host it needs a password, redis://:${REDIS_PASSWORD}@HOST:PORT. Not set: none."`
}

// Keys configures the key ring.
type Keys struct {
	Dir string `yaml:"dir" change:"restart" doc:"Folder of the key ring, files with mode 0600. Default: 'keys' in store.dir."`
}

// Limits bound what the node takes on.
type Limits struct {
	Calls int `yaml:"calls" change:"restart" doc:"Calls and other exchanges with state at one time; more are refused with 503."`

	Connections          int      `yaml:"connections" change:"restart" doc:"TCP, TLS and WebSocket connections at one time. When there is no room, one that proved nothing makes room."`
	ConnectionsPerSource int      `yaml:"connections_per_source" change:"restart" doc:"Connections of one IPv4 address or IPv6 /64 at one time. Phones behind one NAT share it."`
	ConnectionsUnproven  int      `yaml:"connections_unproven" change:"restart" doc:"Connections at one time that have not proved who they are; one source has a tenth of it. They have 10 s."`
	ConnectionIdle       Duration `yaml:"connection_idle" change:"restart" doc:"A connection that is silent for longer is closed. Above registration.max_expires, or phones without keep-alives lose theirs."`
}

// Registration bounds what the registrar grants (RFC 3261 §10.3).
type Registration struct {
	MinExpires Duration `yaml:"min_expires" change:"restart" doc:"A registration for less gets 423."`
	MaxExpires Duration `yaml:"max_expires" change:"restart" doc:"A registration for more is granted this; one that names no time, at most 1h. Of ten minutes or more up to a tenth less is granted, each time another part, so that phones that all came at once spread out."`
	Contacts   int      `yaml:"contacts" change:"restart" doc:"Contacts of one number at most."`
	Instances  int      `yaml:"instances" change:"restart" doc:"Instances of one device at most: the same credential in several phones."`
}

// Log configures the log.
type Log struct {
	Level  slog.Level `yaml:"level" change:"reload" doc:"'debug', 'info', 'warn' or 'error'."`
	Format LogFormat  `yaml:"format" change:"restart" doc:"'json' or 'text'."`
}

// Transport names a SIP transport.
type Transport string

// The transports of listeners.
const (
	UDP Transport = "udp"
	TCP Transport = "tcp"
	TLS Transport = "tls"
)

// Network says who can send to a listener.
type Network string

// The networks.
const (
	Public  Network = "public"
	Private Network = "private"
)

// LogFormat is how log lines look.
type LogFormat string

// The formats.
const (
	JSON LogFormat = "json"
	Text LogFormat = "text"
)

// Default returns the configuration of an empty file. It is not complete:
// https.cert and https.key have no default.
func Default() *Config {
	return &Config{
		Node: Node{Name: "bellhop", Number: 1},
		SIP: SIP{
			Timers: SIPTimers{
				T1: Duration(500 * time.Millisecond), T2: Duration(4 * time.Second), T4: Duration(5 * time.Second), C: Duration(185 * time.Second),
			},
			UDP:     SIPUDP{ReceiveBuffer: 4 << 20, SendBuffer: 4 << 20},
			Digest:  []string{"SHA-256", "MD5"},
			Ladder:  1 << 20,                                // some 1,300 messages; more of them would cost each message a miss of the cache
			MD5Only: []string{"baresip v0.", "baresip v1."}, // with libre 1.1: any other algorithm is an error
		},
		HTTPS: HTTPS{Bind: netip.MustParseAddrPort("127.0.0.1:8443")},
		Store: Store{Dir: "/var/lib/bellhop", Connections: 10, Timeout: Duration(5 * time.Second)},
		Limits: Limits{
			Calls: 200_000, Connections: 50_000, ConnectionsPerSource: 1000, ConnectionsUnproven: 1000,
			ConnectionIdle: Duration(65 * time.Minute),
		},
		Registration: Registration{
			MinExpires: Duration(time.Minute), MaxExpires: Duration(time.Hour), Contacts: 10, Instances: 5,
		},
		Log:          Log{Level: slog.LevelInfo, Format: JSON},
		DrainTimeout: Duration(time.Minute),
	}
}

// DefaultListener returns what a listener has that the file says nothing of.
func DefaultListener() Listener { return Listener{Transport: UDP, Network: Public} }
