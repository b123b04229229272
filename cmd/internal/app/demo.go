package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"bellhop/control"
	"bellhop/routing/directory"
)

// A Demo is the house that `bellhop demo` shows.
type Demo struct {
	Domain  string
	Aliases []string
	Users   []DemoUser
	Trunk   netip.AddrPort // where numbers that begin with + go; zero: nowhere
}

// A DemoUser is a person of the demo.
type DemoUser struct {
	User     string       `json:"user"`
	Number   string       `json:"number"`
	Password string       `json:"password"` // of the sign-in; "": no sign-in
	Devices  []DemoDevice `json:"devices"`
}

// A DemoDevice is a phone of the demo.
type DemoDevice struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

const (
	demoClass = "all"  // class of service of everybody
	demoGroup = "1100" // hunt group of the first three
	demoTrunk = "demo" // for numbers that begin with +
	demoSite  = "DE"   // region of the domain
)

// ProvisionDemo puts the people of the demo in the store. What is there stays
// as people changed it, but for passwords that d has anew and aliases it adds.
func (a *App) ProvisionDemo(ctx context.Context, d Demo) error {
	p := provision{App: a, ctx: ctx, demo: d}
	p.domain()
	_, classes := p.get(p.ref(directory.KindClass, demoClass))
	p.classless = !classes
	p.missing(directory.KindClass, demoClass, directory.Class{Rules: []directory.ClassRule{
		{Allow: "internal"}, {Allow: "local"}, {Allow: "national"}, {Allow: "mobile"}, {Allow: "international"}, {Allow: "premium"},
	}})
	var hunted []string
	for i, u := range d.Users {
		p.user(u)
		if i < 3 {
			hunted = append(hunted, u.Number)
		}
	}
	p.missing(directory.KindNumber, demoGroup, directory.Number{State: directory.StateActive, Label: "all of the first three"})
	p.missing(directory.KindGroup, demoGroup, directory.Group{Number: demoGroup, Kind: directory.GroupHunt, Members: hunted, Strategy: directory.StrategyAll})
	p.trunk()
	if p.err == nil && len(p.writes) > 0 {
		_, p.err = a.store.Apply(ctx, directory.Author{Actor: "demo"}, p.writes)
	}
	if p.err != nil {
		return fmt.Errorf("app: demo: %w", p.err)
	}
	return nil
}

// A provision collects the writes of a demo; after an error it does nothing.
type provision struct {
	*App
	ctx    context.Context //nolint:containedctx // of one call of ProvisionDemo
	demo   Demo
	writes []directory.Write
	err    error

	classless bool // the folder is from before there were classes
}

// get reads a document; false: there is none.
func (p *provision) get(ref directory.Ref) (directory.Document, bool) {
	if p.err != nil {
		return directory.Document{}, false
	}
	doc, err := p.store.Get(p.ctx, ref)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		p.err = err
	}
	return doc, err == nil
}

func (p *provision) put(ref directory.Ref, v any) {
	body, err := directory.Encode(v)
	if err != nil {
		p.err = err
	}
	p.writes = append(p.writes, directory.Write{Ref: ref, Body: body})
}

func (p *provision) ref(kind directory.Kind, name string) directory.Ref {
	return directory.Ref{Domain: p.demo.Domain, Kind: kind, Name: name}
}

// missing puts a document that is not there.
func (p *provision) missing(kind directory.Kind, name string, v any) {
	if _, found := p.get(p.ref(kind, name)); !found {
		p.put(p.ref(kind, name), v)
	}
}

func (p *provision) domain() {
	ref := directory.Ref{Kind: directory.KindDomain, Name: p.demo.Domain}
	v := directory.Domain{Region: demoSite, Realm: p.demo.Domain, Defaults: directory.Defaults{ClassOfService: demoClass, ForwardingClass: demoClass}}
	if doc, found := p.get(ref); found {
		var err error
		if v, err = directory.Parse[directory.Domain](directory.KindDomain, doc.Body); err != nil {
			p.err = err
			return
		}
	}
	known := len(v.Aliases)
	for _, alias := range p.demo.Aliases {
		if !slices.Contains(v.Aliases, alias) {
			v.Aliases = append(v.Aliases, alias)
		}
	}
	if len(v.Aliases) > known {
		p.put(ref, v)
	}
}

// trunk puts the trunk, trusted by exactly its address and port. On the other
// end is a tool rather than a carrier: nobody asks it how it is, and it may make
// as many calls as it likes.
func (p *provision) trunk() {
	if !p.demo.Trunk.IsValid() {
		return
	}
	v := directory.Trunk{
		Proof: directory.ProofAddress, Spoofable: directory.SpoofableAccepted, MatchIn: []string{"*"}, Routes: []directory.Route{{Prefix: "+"}},
		CallerID: directory.CallerOriginal, Health: directory.HealthOff, MaxCalls: directory.Unlimited, MaxCPS: directory.Unlimited,
	}
	ref := p.ref(directory.KindTrunk, demoTrunk)
	if doc, found := p.get(ref); found {
		var err error
		if v, err = directory.Parse[directory.Trunk](directory.KindTrunk, doc.Body); err != nil {
			p.err = err
			return
		}
	}
	peers := []string{p.demo.Trunk.String()}
	if !slices.Equal(v.Peers, peers) {
		v.Peers = peers
		p.put(ref, v)
	}
}

// user puts a person with number, devices and secrets.
func (p *provision) user(u DemoUser) {
	p.missing(directory.KindUser, u.User, directory.User{
		Name: strings.ToUpper(u.User[:1]) + u.User[1:], Role: directory.RoleUser, Numbers: []string{u.Number}, PrimaryDevice: u.Devices[0].Name,
	})
	p.missing(directory.KindNumber, u.Number, directory.Number{User: u.User, State: directory.StateActive, ClassOfService: demoClass})
	p.classify(u.Number)
	renewed := 0
	for _, d := range u.Devices {
		kind := directory.DeviceDesk
		if strings.HasPrefix(d.Name, "web-") {
			kind = directory.DeviceBrowser
		}
		p.missing(directory.KindDevice, d.Name, directory.Device{User: u.User, Kind: kind, Lines: []directory.DeviceLine{{Number: u.Number}}})
		if p.secret(d) {
			renewed++
		}
	}
	if u.Password == "" {
		return
	}
	// A sign-in shows no password to compare with: it is new when the devices' are.
	ref := p.ref(directory.KindSignIn, u.User)
	if _, found := p.get(ref); !found || renewed == len(u.Devices) {
		p.put(ref, directory.SignIn{Hash: control.HashPassword(u.Password), Changed: time.Now().UTC().Truncate(time.Second)})
	}
}

// classify gives a number of a folder from before there were classes that of
// everybody: without one it could not call outside.
func (p *provision) classify(number string) {
	ref := p.ref(directory.KindNumber, number)
	doc, found := p.get(ref)
	if !p.classless || !found {
		return
	}
	v, err := directory.Parse[directory.Number](directory.KindNumber, doc.Body)
	if err != nil || v.ClassOfService != "" {
		return
	}
	v.ClassOfService = demoClass
	p.put(ref, v)
}

// secret puts the secret of a device, unless it has that one already.
func (p *provision) secret(d DemoDevice) (renewed bool) {
	ref, aad := p.ref(directory.KindCredential, d.Name), directory.CredentialAAD(p.demo.Domain, d.Name, d.Name)
	if doc, found := p.get(ref); found {
		old, err := directory.Parse[directory.Secret](directory.KindCredential, doc.Body)
		if err == nil {
			if plain, err := p.keys.Open(directory.SealCredential, old.Sealed, aad); err == nil && string(plain) == d.Password {
				return false
			}
		}
	}
	sealed, err := p.keys.Seal(directory.SealCredential, []byte(d.Password), aad)
	if err != nil {
		p.err = err
		return false
	}
	p.put(ref, directory.Secret{ID: strings.ToLower(rand.Text()), Device: d.Name, Sealed: sealed, Origin: "demo"})
	return true
}
