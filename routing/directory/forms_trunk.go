package directory

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (d *decoder) trunk(o *object) Trunk {
	v := Trunk{
		Peers:          o.texts("peers"),
		Proof:          o.choice("proof", "", ProofTLS, ProofDigest, ProofRegister, ProofAddress),
		Sources:        o.texts("sources"),
		Spoofable:      o.choice("spoofable", "", SpoofableAccepted),
		Register:       d.registration(o),
		MatchIn:        o.texts("match_in"),
		CallerID:       o.choice("caller_id", CallerOriginal, CallerOriginal, CallerForwarding, CallerMain, callerVerified),
		Verified:       o.flag("caller_id_verified"),
		Trusted:        o.flag("trusted"),
		Methods:        o.texts("methods"),
		Health:         o.choice("health", HealthOptions, HealthOptions, HealthOff),
		HealthInterval: o.span("health_interval", 0, 5*time.Second, time.Hour),
		MaxCalls:       o.limit("max_calls"),
		MaxCPS:         o.limit("max_cps"),
		Routes:         each(o, "routes", d.route),
	}
	if v.CallerID == callerVerified {
		v.CallerID, v.Verified = CallerOriginal, true
	}
	if !o.has("match_in") {
		v.MatchIn = []string{"*"}
	}
	if v.MatchIn == nil {
		v.MatchIn = []string{}
	}
	o.done()
	d.most("peers", len(v.Peers), 50)
	d.most("sources", len(v.Sources), 100)
	d.most("match_in", len(v.MatchIn), 500)
	d.most("routes", len(v.Routes), 500)
	for i, s := range v.Peers {
		p, ok := ParsePeer(s)
		if !ok {
			d.fault(item("peers", i), RuleValue, "must be host[:port][;transport=udp|tcp|tls]")
			continue
		}
		v.Peers[i] = p.String()
	}
	for i, s := range v.MatchIn {
		if strings.ContainsAny(strings.TrimSuffix(s, "*"), "* ;@<>\"") {
			d.fault(item("match_in", i), RuleValue, "must be a number or a user, with * at its end for a prefix")
		}
	}
	for i, s := range v.Methods {
		v.Methods[i] = strings.ToUpper(s)
		if !slices.Contains([]string{"REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE"}, v.Methods[i]) {
			d.fault(item("methods", i), RuleValue, "must be one of REFER, NOTIFY, SUBSCRIBE, MESSAGE")
		}
	}
	d.proof(&v)
	return v
}

func item(name string, i int) string { return fmt.Sprintf("%s[%d]", name, i) }

func (d *decoder) route(r *object) Route {
	v := Route{
		Prefix: strings.TrimSuffix(r.text("prefix"), "*"), Priority: r.count("priority", 0, 1000),
		Strip: r.count("strip", 0, 20), Prepend: r.text("prepend"),
	}
	if !r.has("prefix") {
		d.fault(r.at("prefix"), RuleMissing, `must be set; "" is every number`)
	}
	if len(v.Prefix) > 16 || strings.Trim(strings.TrimPrefix(v.Prefix, "+"), "0123456789") != "" {
		d.fault(r.at("prefix"), RuleValue, "must be the beginning of a number, like +49")
	}
	if len(v.Prepend) > 20 || strings.Trim(v.Prepend, "+*#0123456789") != "" {
		d.fault(r.at("prepend"), RuleValue, "must be at most 20 of the characters 0 to 9, +, * and #")
	}
	return v
}

// registration reads "register": an object, or true for one with every default.
func (d *decoder) registration(o *object) *TrunkRegister {
	raw, ok := o.raw("register")
	if !ok || string(raw) == "false" {
		return nil
	}
	if string(raw) == "true" {
		return &TrunkRegister{}
	}
	r := o.sub("register")
	defer r.done()
	v := &TrunkRegister{
		Registrar: r.text("registrar"), Username: r.text("username"), Realm: r.text("realm"),
		Expires: r.span("expires", 0, time.Minute, 24*time.Hour),
	}
	if v.Registrar != "" {
		p, ok := ParsePeer(v.Registrar)
		if !ok || p.Transport != "" {
			d.fault(r.at("registrar"), RuleValue, "must be host[:port]")
		}
		v.Registrar = p.String()
	}
	if strings.ContainsFunc(v.Username, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("@;?<>\"\\", r) }) {
		d.fault(r.at("username"), RuleValue, "must be the user part of a SIP address")
	}
	if strings.ContainsAny(v.Realm, "\"\\") {
		d.fault(r.at("realm"), RuleValue, "must not have quotes or backslashes")
	}
	return v
}

// proof holds how a trunk proves itself against what that needs.
func (d *decoder) proof(v *Trunk) {
	if len(v.Routes) > 0 && len(v.Peers) == 0 {
		d.fault("peers", RuleMissing, "must be set where calls leave over the trunk")
	}
	if len(v.Sources) > 0 && v.Proof != ProofAddress && v.Proof != ProofTLS {
		d.fault("sources", RuleValue, "are of the proofs address and tls")
	}
	switch v.Proof {
	case "":
		d.fault("proof", RuleMissing, "must be one of tls, digest, register, address")
	case ProofRegister:
		if v.Register == nil {
			v.Register = &TrunkRegister{}
		}
		if v.Register.Registrar == "" && len(v.Peers) == 0 {
			d.fault("register.registrar", RuleMissing, "must be set where there is no peer")
		}
	case ProofAddress:
		d.sources(v)
	case ProofTLS:
		for i, s := range v.Sources {
			if v.Sources[i] = Host(s); !isHost(v.Sources[i]) {
				d.fault(item("sources", i), RuleValue, "must be a name in the certificate of the peer")
			}
		}
		if len(NamesOf(*v)) == 0 {
			d.fault("sources", RuleMissing, "must name the certificate of the peer, or peers must be set")
		}
		for i, p := range PeersOf(*v) {
			if p.Transport != "tls" {
				d.fault(item("peers", i), RuleValue, "must be reached over TLS to prove itself by TLS")
			}
		}
	}
}

// sources reads where the requests of a trunk with proof address come from.
func (d *decoder) sources(v *Trunk) {
	for i, s := range v.Sources {
		src, ok := ParseSource(s)
		switch {
		case !ok:
			d.fault(item("sources", i), RuleValue, "must be address[/bits][:port][;transport=udp|tcp|tls][;listener=address:port]")
		case src.tooWide():
			d.fault(item("sources", i), RuleSource, src.Prefix.String()+" is no peer: too many could call from it")
		default:
			v.Sources[i] = src.String()
		}
	}
	if len(v.Sources) > 0 {
		return
	}
	found := SourcesOf(*v)
	if len(found) < len(v.Peers) || len(found) == 0 {
		d.fault("sources", RuleMissing, "must be set where a peer is no address: a name proves nothing")
	}
}

func (d *decoder) trunkKey(o *object) TrunkKey {
	v := TrunkKey{ID: o.text("id"), Username: o.text("username"), Sealed: scalar[[]byte](o, "sealed", "base64")}
	if v.Username == "" || len(v.Sealed) == 0 {
		d.fault("username", RuleMissing, "username and sealed must be set")
	}
	if strings.ContainsAny(v.Username, "\"\\") {
		d.fault("username", RuleValue, "must not have quotes or backslashes")
	}
	o.done()
	return v
}

// limit reads a [Limit].
func (o *object) limit(name string) Limit {
	return scalar[Limit](o, name, `a whole number from 0 (the default) to 1000000, or "unlimited"`)
}

// span reads a duration; absent is def.
func (o *object) span(name string, def Duration, lo, hi time.Duration) Duration {
	if !o.has(name) {
		return def
	}
	v := scalar[Duration](o, name, "a duration: ISO 8601 like PT18S, or milliseconds")
	if t := time.Duration(v); t < lo || t > hi {
		o.d.fault(o.at(name), RuleValue, fmt.Sprintf("must be %s to %s", Duration(lo), Duration(hi)))
		return def
	}
	return v
}
