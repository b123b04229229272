package cache

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
)

// Run confirms what is here until ctx ends. It begins by compiling the whole
// directory at once where that is small enough, so that the first calls after a
// start find everything here.
func (c *Cache) Run(ctx context.Context) error {
	if err := c.Warm(ctx); err != nil && ctx.Err() == nil {
		c.log.LogAttrs(ctx, slog.LevelWarn, "cache not warmed", slog.Any("error", err))
	}
	tick := time.NewTicker(Confirm)
	defer tick.Stop()
	quiet := time.NewTimer(Refill)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if c.followed {
				continue
			}
		case <-c.nudge:
		case <-c.refills:
			quiet.Reset(Refill)
			continue
		case <-quiet.C:
			c.refill(ctx)
			continue
		}
		if err := c.Confirm(ctx); err != nil && ctx.Err() == nil {
			c.log.LogAttrs(ctx, slog.LevelError, "cache not confirmed, calls go on from it", slog.Any("error", err))
		}
	}
}

// Nudge makes [Cache.Run] look at the versions of domains now: somebody says that
// one changed. It never blocks.
func (c *Cache) Nudge() {
	select {
	case c.nudge <- struct{}{}:
	default: // it is about to look
	}
}

// maxFollow is how many rows of history are followed; more, and the domain is
// forgotten as a whole.
const maxFollow = 1000

// Confirm compares the versions of all domains with those that the entries
// agree with, and forgets what changed.
func (c *Cache) Confirm(ctx context.Context) error {
	now, err := c.source.Versions(ctx)
	if err != nil {
		c.metrics.errors.Inc()
		return fmt.Errorf("cache: %w", err)
	}
	return c.Compare(ctx, now)
}

// Agree takes versions up to which all changes were told to [Cache.Forget].
func (c *Cache) Agree(now map[string]directory.Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.versions = maps.Clone(now)
	c.heardOf(now)
}

// Compare is Confirm with versions that the caller has read.
func (c *Cache) Compare(ctx context.Context, now map[string]directory.Version) error {
	changed := make(map[string]directory.Version) // and what it was
	c.mu.Lock()
	was := maps.Clone(c.versions)
	c.mu.Unlock()
	for d, v := range now {
		if was[d] != v {
			changed[d] = was[d]
		}
	}
	for d := range was {
		if _, ok := now[d]; !ok {
			changed[d] = was[d]
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return c.follow(ctx, changed, now)
}

// known notes the versions that the entries will agree with.
func (c *Cache) known(changed, now map[string]directory.Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for d := range changed { // what committed here meanwhile is known already
		if v, ok := now[d]; !ok {
			delete(c.versions, d)
		} else if c.versions[d].Compare(v) < 0 {
			c.versions[d] = v
		}
	}
	c.heardOf(now)
}

// heardOf notes versions that there are; c.mu is held, or c not shared yet.
func (c *Cache) heardOf(versions map[string]directory.Version) {
	for d, v := range versions {
		if c.newest[d].Compare(v) < 0 {
			c.newest[d] = v
		}
	}
}

// follow forgets what changed in domains since the versions that they had.
func (c *Cache) follow(ctx context.Context, changed, now map[string]directory.Version) error {
	whole := make(map[string]bool)
	var docs []directory.Document
	for d, was := range changed {
		rows, err := c.source.Changes(ctx, d, was, maxFollow)
		if err != nil {
			c.metrics.errors.Inc()
			return fmt.Errorf("cache: %w", err)
		}
		if len(rows) == maxFollow || !Covers(rows, was, now[d]) {
			whole[d] = true
			continue
		}
		docs = append(docs, rows...)
	}
	if err := c.loadHosts(ctx); err != nil { // with them the trunks of domains
		return err
	}
	c.known(changed, now) // before the drop: a fill from now on takes no copy that is older
	t := touchedBy(docs)
	c.drop(func(k key, e *entry) bool {
		_, ok := changed[k.domain]
		return whole[k.domain] || ok && k.kind == kindCredential || t.match(k, e) // credentials have no history
	})
	c.tellTrunks()
	return nil
}

// Covers reports whether rows say all that changed from one version of a domain
// to another one: every version in between has one. A change of secrets alone has
// none, nor has a change of the domain's own document, which is in the system's
// history.
func Covers(rows []directory.Document, from, to directory.Version) bool {
	if from.Epoch != to.Epoch || to.N < from.N {
		return false
	}
	seen := make(map[uint64]bool, len(rows))
	for i := range rows {
		if v := rows[i].Version; v.Epoch == to.Epoch && v.N > from.N && v.N <= to.N {
			seen[v.N] = true
		}
	}
	return uint64(len(seen)) == to.N-from.N
}

// drop takes out the entries that match, and all negative ones. Fills that
// began before it are not stored.
func (c *Cache) drop(match func(k key, e *entry) bool) {
	c.gen.Add(1)
	var out []key
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		clear(sh.negative)
		for k, e := range sh.entries {
			if match(k, e) {
				delete(sh.entries, k)
				out = append(out, k)
			}
		}
		sh.mu.Unlock()
	}
	c.again(out)
}

// touched is what a commit changed, as sets of "domain/name".
type touched struct {
	domains, numbers, users, devices, usernames map[string]bool
	callers                                     map[string]bool // domains whose users may be known by other numbers
}

// Forget takes out what depends on documents that were written or deleted. A
// store calls it after the commit, before it is acknowledged.
func (c *Cache) Forget(docs []directory.Document) {
	t := touchedBy(docs)
	hosts, trunks := false, false
	for i := range docs {
		hosts = hosts || docs[i].Kind == directory.KindDomain || docs[i].Kind == directory.KindTrunk
		trunks = trunks || hosts || docs[i].Kind == directory.KindTrunkKey
	}
	if hosts {
		c.hostsOf(docs)
	}
	c.agree(docs) // before the drop, see follow
	c.drop(t.match)
	if trunks {
		c.tellTrunks()
	}
	if c.copies != nil {
		c.copies.Changed()
	}
}

// touchedBy returns what documents touch.
func touchedBy(docs []directory.Document) *touched {
	t := &touched{
		domains: map[string]bool{}, numbers: map[string]bool{}, users: map[string]bool{},
		devices: map[string]bool{}, usernames: map[string]bool{}, callers: map[string]bool{},
	}
	for i := range docs {
		t.add(&docs[i])
	}
	return t
}

// TrunksChanged is told, at least once, after trunks or their credentials
// changed; [Cache.Peerings] has them then.
func (c *Cache) TrunksChanged() <-chan struct{} { return c.trunks }

func (c *Cache) tellTrunks() {
	select {
	case c.trunks <- struct{}{}:
	default: // it is still to be read
	}
}

// Peerings returns all trunks of the system, from the store. It blocks; errors
// are the store's.
func (c *Cache) Peerings(ctx context.Context) (ps []directory.Peering, err error) {
	err = c.source.Read(ctx, func(v directory.View) error {
		ps, err = directory.LoadPeerings(v)
		return err
	})
	if err != nil {
		c.metrics.errors.Inc()
		return nil, fmt.Errorf("cache: trunks: %w", err)
	}
	return ps, nil
}

// agree notes the versions of docs, so that the next Confirm finds them known.
// A version that others raised in between is not known, and the domain is
// forgotten then.
func (c *Cache) agree(docs []directory.Document) {
	c.mu.Lock()
	defer c.mu.Unlock()
	step := func(domain string, v directory.Version) {
		was := c.versions[domain]
		if v.Epoch == was.Epoch && v.N == was.N+1 || was.IsZero() {
			c.versions[domain] = v
		}
		if c.newest[domain].Compare(v) < 0 {
			c.newest[domain] = v
		}
	}
	for i := range docs {
		step(docs[i].Domain, docs[i].Version)
		if docs[i].Kind == directory.KindDomain { // its own version went on as well
			v := c.newest[docs[i].Name]
			c.newest[docs[i].Name] = directory.Version{Epoch: docs[i].Version.Epoch, N: v.N + 1}
		}
	}
}

// add notes what a document touches.
func (t *touched) add(d *directory.Document) {
	name := d.Domain + "/" + d.Name
	switch d.Kind {
	case directory.KindDomain:
		t.domains[d.Name] = true
	case directory.KindSite, directory.KindClass, directory.KindGroup:
		t.domains[d.Domain] = true
	case directory.KindNumber:
		t.numbers[name], t.callers[d.Domain] = true, true
	case directory.KindForwarding:
		t.numbers[name] = true
	case directory.KindUser:
		t.users[name], t.callers[d.Domain] = true, true
	case directory.KindDND, directory.KindPresence, directory.KindPresenceTo, directory.KindCallMe:
		t.users[name] = true
	case directory.KindRemote:
		user, _ := directory.SplitRemote(d.Name)
		t.users[d.Domain+"/"+user] = true
		t.callers[d.Domain] = true
	case directory.KindDevice:
		t.devices[name] = true
	case directory.KindCredential:
		t.usernames[name] = true
	case directory.KindTrunk, directory.KindTrunkKey, directory.KindSignIn, directory.KindPIN, directory.KindSpeedDial, directory.KindActivation, directory.KindChange: // no entry depends on it
	default:
		t.domains[d.Domain] = true
	}
	for _, k := range directory.Keys(d.Ref, d.Body) { // what it is connected with from now on
		switch k.Index {
		case directory.IndexUser:
			t.users[k.Value] = true
		case directory.IndexLine:
			t.numbers[k.Value] = true
		case directory.IndexDevice, directory.IndexHost, directory.IndexPublic, directory.IndexClass, directory.IndexSite,
			directory.IndexOwner, directory.IndexReach, directory.IndexTrunk, directory.IndexUsername, directory.IndexCode:
		default:
		}
	}
}

// match reports whether an entry depends on what was touched.
func (t *touched) match(k key, e *entry) bool {
	if t.domains[k.domain] {
		return true
	}
	in := func(set map[string]bool, name string) bool {
		return len(set) > 0 && name != "" && set[k.domain+"/"+name]
	}
	switch k.kind {
	case kind(routing.NeedNumber):
		l := e.Line
		return in(t.numbers, l.Number) || in(t.users, l.User) ||
			slices.ContainsFunc(l.Devices, func(d string) bool { return in(t.devices, d) })
	case kind(routing.NeedUser):
		return in(t.users, k.name) || in(t.numbers, e.Number)
	case kind(routing.NeedDevice):
		return in(t.devices, k.name)
	case kind(routing.NeedCaller):
		return t.callers[k.domain]
	case kindCredential:
		return in(t.usernames, k.name) || in(t.devices, e.credential.Device)
	default:
		return false
	}
}

// loadHosts reads which hosts are whose.
func (c *Cache) loadHosts(ctx context.Context) error {
	hosts := make(map[string]*directory.Tenant)
	err := c.source.Read(ctx, func(v directory.View) error {
		for ref, err := range v.List("", directory.KindDomain) {
			if err != nil {
				return err
			}
			doc, ok, err := v.Get(ref)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			t, ok, err := directory.LoadTenant(v, doc.Name)
			if err != nil {
				return err
			}
			if ok {
				addHosts(hosts, doc, t)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cache: hosts: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts.Store(&hosts)
	return nil
}

// hostsOf brings the hosts up to date with written domains.
func (c *Cache) hostsOf(docs []directory.Document) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hosts := maps.Clone(*c.hosts.Load())
	for _, d := range docs {
		if d.Kind == directory.KindDomain {
			domainOf(hosts, d)
		}
		if d.Kind == directory.KindTrunk {
			trunkOf(hosts, d)
		}
	}
	c.hosts.Store(&hosts)
}

// domainOf brings the hosts of a written domain up to date; it keeps its trunks.
func domainOf(hosts map[string]*directory.Tenant, d directory.Document) {
	old := hosts[d.Name]
	maps.DeleteFunc(hosts, func(_ string, t *directory.Tenant) bool { return t.Name == d.Name })
	v, err := directory.Parse[directory.Domain](directory.KindDomain, d.Body)
	if d.Body == nil || err != nil {
		return
	}
	t := directory.CompileTenant(d.Name, v)
	if old != nil {
		t.Trunks, t.Carriers = old.Trunks, old.Carriers
	}
	addHosts(hosts, d, t)
}

// trunkOf brings the domain of a written trunk up to date.
func trunkOf(hosts map[string]*directory.Tenant, d directory.Document) {
	old := hosts[d.Domain]
	if old == nil {
		return
	}
	var trunk *directory.Trunk
	if v, err := directory.Parse[directory.Trunk](directory.KindTrunk, d.Body); d.Body != nil && err == nil {
		trunk = &v
	}
	t := old.WithTrunk(d.Name, trunk)
	for host, was := range hosts {
		if was == old {
			hosts[host] = t
		}
	}
}

// addHosts adds the hosts of a domain, which share one compiled value.
func addHosts(hosts map[string]*directory.Tenant, doc directory.Document, t *directory.Tenant) {
	for _, k := range directory.Keys(doc.Ref, doc.Body) {
		if k.Index == directory.IndexHost {
			hosts[k.Value] = t
		}
	}
}

// Warm compiles the numbers, users, devices and credentials of all domains from
// one reading of the store.
func (c *Cache) Warm(ctx context.Context) error {
	gen := c.gen.Load()
	snap, err := c.source.Snapshot(ctx, 4*c.each*shards)
	if err != nil || snap == nil {
		return err
	}
	var keys []key
	for host, tenant := range *c.hosts.Load() {
		domain := tenant.Name
		if host != domain {
			continue
		}
		for ref, err := range snap.List(domain, "") {
			if err != nil {
				return err
			}
			switch ref.Kind {
			case directory.KindNumber:
				keys = append(keys, key{kind(routing.NeedNumber), domain, ref.Name})
			case directory.KindUser:
				keys = append(keys, key{kind(routing.NeedUser), domain, ref.Name})
			case directory.KindDevice:
				keys = append(keys, key{kind(routing.NeedDevice), domain, ref.Name})
			case directory.KindCredential:
				keys = append(keys, key{kindCredential, domain, ref.Name})
			case directory.KindDomain, directory.KindSite, directory.KindGroup, directory.KindTrunk, directory.KindClass,
				directory.KindForwarding, directory.KindDND, directory.KindPresence, directory.KindPresenceTo, directory.KindCallMe, directory.KindRemote,
				directory.KindTrunkKey, directory.KindSignIn, directory.KindPIN, directory.KindSpeedDial, directory.KindActivation, directory.KindChange:
			default:
			}
		}
	}
	for _, k := range keys {
		if ctx.Err() != nil || c.gen.Load() != gen {
			return ctx.Err() // what changed meanwhile is not in the snapshot
		}
		e, err := compile(snap, k)
		if err != nil {
			return err
		}
		c.put(k, e, gen)
	}
	return nil
}
