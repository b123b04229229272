package directory

import "strings"

// Path returns the path of a document below its domain in the API:
// "users/ana/dnd", "numbers/1002/forwarding", "devices/desk-1001".
func (r Ref) Path() string {
	switch r.Kind {
	case KindForwarding:
		return "numbers/" + r.Name + "/forwarding"
	case KindDND:
		return "users/" + r.Name + "/dnd"
	case KindPresence:
		return "users/" + r.Name + "/presence"
	case KindPresenceTo:
		return "users/" + r.Name + "/presence/forwarding"
	case KindCallMe:
		return "users/" + r.Name + "/callme"
	case KindRemote:
		user, id := SplitRemote(r.Name)
		return "users/" + user + "/remote-destinations/" + id
	case KindTrunkKey:
		return "trunks/" + r.Name + "/credentials"
	case KindSignIn:
		return "users/" + r.Name + "/password"
	case KindPIN:
		return "users/" + r.Name + "/pin"
	case KindSpeedDial:
		device, position := SplitRemote(r.Name)
		return "devices/" + device + "/speed-dials/" + position
	case KindCredential:
		return "devices/" + r.Name + "/credentials"
	case KindDomain, KindSite, KindUser, KindNumber, KindDevice, KindGroup, KindTrunk, KindClass, KindActivation, KindChange:
		return string(r.Kind) + "/" + r.Name
	default:
		return string(r.Kind) + "/" + r.Name
	}
}

// ParsePath is the reverse of [Ref.Path], of documents of a domain that hold no
// secret.
func ParsePath(domain, path string) (Ref, bool) {
	kind, rest, ok := strings.Cut(path, "/")
	name, of, sub := strings.Cut(rest, "/")
	if !ok || name == "" {
		return Ref{}, false
	}
	r := Ref{Domain: domain, Kind: Kind(kind), Name: name}
	if sub {
		kinds := map[string]Kind{
			"numbers/forwarding": KindForwarding, "users/dnd": KindDND,
			"users/presence": KindPresence, "users/presence/forwarding": KindPresenceTo, "users/callme": KindCallMe,
		}
		if id, remote := strings.CutPrefix(of, "remote-destinations/"); remote && kind == "users" && id != "" {
			r.Kind, r.Name = KindRemote, RemoteName(name, id)
			return r, !strings.Contains(id, "/")
		}
		if r.Kind, ok = kinds[kind+"/"+of]; !ok {
			return Ref{}, false
		}
		return r, true
	}
	switch r.Kind {
	case KindSite, KindUser, KindNumber, KindDevice, KindGroup, KindTrunk, KindClass:
		return r, true
	case KindDomain:
		r.Domain = ""
		return r, name == domain
	case KindForwarding, KindDND, KindPresence, KindPresenceTo, KindCallMe, KindRemote, KindCredential, KindTrunkKey, KindSignIn,
		KindPIN, KindSpeedDial, KindActivation, KindChange:
		return Ref{}, false
	default:
		return Ref{}, false
	}
}
