package control

import (
	"slices"
	"time"

	"bellhop/routing/dial"
	"bellhop/routing/directory"
)

// An applied rule is what becomes of a call to a number, as far as settings say.
type applied struct {
	Rule   string   `json:"rule" doc:"the rule that decides"`
	Target string   `json:"target,omitempty" doc:"where it sends the call; none: refused as busy"`
	Also   []string `json:"also,omitempty" doc:"remote destinations that ring with it (snr.*)"`
	Not    string   `json:"not,omitempty" doc:"the rule that a setting before this one is not obeyed for: callme.unusable"`
}

// reach are the settings that decide where a number is reached.
type reach struct {
	number     string
	voicemail  bool
	forwarding directory.Forwarding
	dnd        directory.DND
	presence   directory.Presence
	to         directory.PresenceForwarding
	callMe     directory.CallMe
	unusable   bool // the target of callMe is a group or itself redirected
	also       []string
	group      bool // it is the number of a hunt group
}

// effective adds what applies to calls from inside and outside, which is
// computed: settings never overwrite each other (behaviour.md §3).
func (s *Server) effective(q *request, ref directory.Ref, m map[string]any) error {
	r, err := s.reach(q, ref)
	if err != nil {
		return err
	}
	m["effective"] = map[string]applied{"internal": r.apply(true, q.now), "external": r.apply(false, q.now)}
	return nil
}

// reach reads the settings of a number and of its user.
func (s *Server) reach(q *request, ref directory.Ref) (r reach, err error) {
	r.number = ref.Name
	if r.forwarding, _, err = document[directory.Forwarding](s, q, ref); err != nil {
		return r, err
	}
	number, _, err := document[directory.Number](s, q, directory.Ref{Domain: ref.Domain, Kind: directory.KindNumber, Name: ref.Name})
	r.voicemail = number.Voicemail
	if err != nil || number.User == "" {
		r.group, err = s.isGroup(q, ref.Domain, ref.Name, err)
		return r, err
	}
	of := func(kind directory.Kind) directory.Ref {
		return directory.Ref{Domain: ref.Domain, Kind: kind, Name: number.User}
	}
	if r.dnd, _, err = document[directory.DND](s, q, of(directory.KindDND)); err != nil {
		return r, err
	}
	if r.presence, _, err = document[directory.Presence](s, q, of(directory.KindPresence)); err != nil {
		return r, err
	}
	if r.to, _, err = document[directory.PresenceForwarding](s, q, of(directory.KindPresenceTo)); err != nil {
		return r, err
	}
	if r.callMe, _, err = document[directory.CallMe](s, q, of(directory.KindCallMe)); err != nil {
		return r, err
	}
	if r.callMe.Target != "" {
		if r.unusable, err = s.unusable(q, ref.Domain, r.callMe.Target); err != nil {
			return r, err
		}
	}
	r.also, err = s.alsoRings(q, ref, number.User)
	return r, err
}

// alsoRings are the remote destinations that ring with a number now.
func (s *Server) alsoRings(q *request, number directory.Ref, user string) (out []string, err error) {
	remotes := map[string]directory.RemoteDestination{}
	err = s.remotes(q, number.Domain, user, func(d directory.Document, _ map[string]any) {
		if v, err := directory.Parse[directory.RemoteDestination](directory.KindRemote, d.Body); err == nil {
			_, id := directory.SplitRemote(d.Name)
			remotes[id] = v
		}
	})
	if err != nil || len(remotes) == 0 {
		return nil, err
	}
	u, _, err := document[directory.User](s, q, directory.Ref{Domain: number.Domain, Kind: directory.KindUser, Name: user})
	if err != nil {
		return nil, err
	}
	line := directory.CompileLine(directory.LineDocuments{
		Tenant: directory.CompileTenant(number.Domain, directory.Domain{}), Name: number.Name,
		Number: directory.Number{User: user}, Remotes: remotes, Zone: u.TimeZone,
	})
	for i := range line.Remotes {
		if line.Remotes[i].Rings(q.now) {
			out = append(out, line.Remotes[i].Target.Text)
		}
	}
	return out, nil
}

// unusable reports whether a CallMe target is a number of ours that redirects
// calls itself, or a group (callme.unusable).
func (s *Server) unusable(q *request, domain, target string) (bool, error) {
	if !dial.IsExtension(target) {
		return false, nil // outside, or checked when a call comes
	}
	ref := directory.Ref{Domain: domain, Kind: directory.KindForwarding, Name: target}
	f, _, err := document[directory.Forwarding](s, q, ref)
	if err != nil || f.All.Internal.Enabled || f.All.External.Enabled {
		return true, err
	}
	ref.Kind = directory.KindNumber
	n, _, err := document[directory.Number](s, q, ref)
	if err != nil || n.User == "" {
		return s.isGroup(q, domain, target, err)
	}
	ref.Kind, ref.Name = directory.KindCallMe, n.User
	m, _, err := document[directory.CallMe](s, q, ref)
	if err != nil || m.Target != "" {
		return true, err
	}
	return s.isGroup(q, domain, target, nil)
}

// isGroup reports whether a number is that of a group.
func (s *Server) isGroup(q *request, domain, number string, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	groups, _, err := s.opts.Documents.List(q.ctx(), domain, directory.KindGroup, directory.Query{Limit: pageMost, Q: number})
	for _, d := range groups {
		g, err := directory.Parse[directory.Group](directory.KindGroup, d.Body)
		if err == nil && g.Number == number {
			return true, nil
		}
	}
	return false, err
}

// apply follows the order of precedence: forward.all, callme, presence.forward,
// dnd, ring.
func (r *reach) apply(internal bool, now time.Time) applied {
	if all := r.forwarding.All.Of(internal); all.Enabled {
		return applied{Rule: "forward.all", Target: all.Target}
	}
	status, not := r.presence.At(now), ""
	if r.callMe.Target != "" && status == directory.StatusOffice && !r.dnd.Enabled { // any other status suspends it
		if !r.unusable {
			return applied{Rule: "callme", Target: r.callMe.Target}
		}
		not = directory.RuleCallMe
	}
	if r.group {
		return applied{Rule: "dial.group", Target: r.number}
	}
	out := r.present(status)
	out.Not = not
	return out
}

// present is what applies once nothing sends all calls elsewhere.
func (r *reach) present(status string) applied {
	target := r.to[status].Target
	if target == "" && r.voicemail && awayFrom(status) {
		target = directory.TargetVoicemail
	}
	if target != "" && (!r.dnd.Enabled || target == directory.TargetVoicemail) {
		return applied{Rule: "presence.forward", Target: target}
	}
	if r.dnd.Enabled && r.dnd.Mode != directory.DNDRingerOff {
		if r.dnd.Remotes && len(r.also) > 0 {
			return applied{Rule: "snr", Also: r.also}
		}
		if r.dnd.Mode == directory.DNDVoicemail && r.voicemail {
			return applied{Rule: "dnd", Target: directory.TargetVoicemail}
		}
		return applied{Rule: "dnd"}
	}
	return applied{Rule: "ring.devices", Target: r.number, Also: r.also}
}

// awayFrom reports whether nobody is expected at the phone in a status.
func awayFrom(status string) bool {
	return status != directory.StatusOffice && slices.Contains(directory.Statuses(), status)
}
