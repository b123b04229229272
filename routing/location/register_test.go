package location_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/routing/location"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// flow returns a UDP flow of a phone at 192.0.2.host.
func flow(host byte) location.Flow {
	return location.Flow{
		Transport: location.UDP,
		Local:     netip.MustParseAddrPort("192.0.2.250:5060"),
		Remote:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, host}), 5060),
	}
}

// reg returns a REGISTER of device desk with Call-ID "a" for an hour.
func reg(cseq uint32, contacts ...location.Contact) location.Register {
	return location.Register{
		Contacts: contacts, Expires: location.In(3600), CallID: "a", CSeq: cseq,
		Device: "desk", Flow: flow(1), UserAgent: "phone/1",
	}
}

// with returns r changed.
func with(r location.Register, change func(*location.Register)) location.Register {
	change(&r)
	return r
}

// at returns a contact of q 1.
func at(uri string) location.Contact { return location.Contact{URI: uri, Q: 1000} }

// inst returns a contact of an instance.
func inst(uri, instance string, regID uint32) location.Contact {
	return location.Contact{URI: uri, Q: 1000, Instance: instance, RegID: regID}
}

// gone returns c with expires 0.
func gone(c location.Contact) location.Contact {
	c.Expires = location.In(0)
	return c
}

const (
	desk = "sip:1001@192.0.2.1:5060"
	soft = "sip:1001@192.0.2.1:5062"
)

func TestApply(t *testing.T) {
	t.Parallel()
	star := location.Register{Star: true, Expires: location.In(0), CallID: "a", CSeq: 9, Device: "desk", Flow: flow(1)}
	tests := []struct {
		name    string
		steps   []location.Register
		want    []string // contacts that hold after all steps
		changes string   // of the last step
		err     error    // of the last step
	}{
		{name: "query of nothing", steps: []location.Register{reg(1)}},
		{name: "one", steps: []location.Register{reg(1, at(desk))}, want: []string{desk}, changes: "added " + desk},
		{
			name: "several contacts", steps: []location.Register{reg(1, at(desk), at(soft))},
			want: []string{desk, soft}, changes: "added " + desk + ", added " + soft,
		},
		{
			name: "query", steps: []location.Register{reg(1, at(desk)), reg(2)}, want: []string{desk},
		},
		{
			name: "refreshed", steps: []location.Register{reg(1, at(desk)), reg(2, at(desk))},
			want: []string{desk}, changes: "refreshed " + desk,
		},
		{
			name:  "refreshed by an equal uri",
			steps: []location.Register{reg(1, at(desk)), reg(2, at("SIP:%31001@192.0.2.1:5060;ob"))},
			want:  []string{"SIP:%31001@192.0.2.1:5060;ob"}, changes: "moved SIP:%31001@192.0.2.1:5060;ob",
		},
		{
			name:  "moved to another flow",
			steps: []location.Register{reg(1, at(desk)), with(reg(2, at(desk)), func(r *location.Register) { r.Flow = flow(7) })},
			want:  []string{desk}, changes: "moved " + desk,
		},
		{
			name: "another call-id after a reboot",
			steps: []location.Register{reg(5, at(desk)), with(reg(1, at(desk)), func(r *location.Register) {
				r.CallID = "b"
			})},
			want: []string{desk}, changes: "refreshed " + desk,
		},
		{
			name: "removed by the contact", steps: []location.Register{reg(1, at(desk), at(soft)), reg(2, gone(at(desk)))},
			want: []string{soft}, changes: "removed " + desk,
		},
		{
			name: "removed by the field",
			steps: []location.Register{reg(1, at(desk)), with(reg(2, at(desk)), func(r *location.Register) {
				r.Expires = location.In(0)
			})},
			changes: "removed " + desk,
		},
		{name: "removal of what is not there", steps: []location.Register{reg(1, gone(at(desk)))}},
		{
			name: "star", steps: []location.Register{reg(1, at(desk), at(soft)), star},
			changes: "removed " + desk + ", removed " + soft,
		},
		{name: "star of nothing", steps: []location.Register{star}},
		{
			name:  "star with an interval",
			steps: []location.Register{reg(1, at(desk)), with(star, func(r *location.Register) { r.Expires = location.In(60) })},
			want:  []string{desk}, err: location.ErrMalformed,
		},
		{
			name:  "star without the field",
			steps: []location.Register{reg(1, at(desk)), with(star, func(r *location.Register) { r.Expires = location.Expiry{} })},
			want:  []string{desk}, err: location.ErrMalformed,
		},
		{
			name: "star with another contact",
			steps: []location.Register{reg(1, at(desk)), with(star, func(r *location.Register) {
				r.Contacts = []location.Contact{at(soft)}
			})},
			want: []string{desk}, err: location.ErrMalformed,
		},
		{
			name: "late star", steps: []location.Register{reg(9, at(desk)), star},
			want: []string{desk}, err: location.ErrOutOfOrder,
		},
		{
			name: "late", steps: []location.Register{reg(2, at(desk)), reg(1, at(desk))},
			want: []string{desk}, err: location.ErrOutOfOrder,
		},
		{
			name: "late removal", steps: []location.Register{reg(2, at(desk)), reg(2, gone(at(desk)))},
			want: []string{desk}, err: location.ErrOutOfOrder,
		},
		{
			name: "one late contact stops all",
			steps: []location.Register{
				reg(2, at(desk)), reg(1, at(soft), at(desk)),
			},
			want: []string{desk}, err: location.ErrOutOfOrder,
		},
		{
			name: "one brief contact stops all",
			steps: []location.Register{
				reg(1, at(desk)), reg(2, gone(at(desk)), location.Contact{URI: soft, Expires: location.In(30)}),
			},
			want: []string{desk}, err: location.TooBriefError{Min: time.Minute},
		},
		{
			name: "retransmitted", steps: []location.Register{reg(1, at(desk), at(soft)), reg(1, at(desk), at(soft))},
			want: []string{desk, soft},
		},
		{
			name:  "same cseq, another interval",
			steps: []location.Register{reg(1, at(desk)), with(reg(1, at(desk)), func(r *location.Register) { r.Expires = location.In(600) })},
			want:  []string{desk}, err: location.ErrOutOfOrder,
		},
		{
			name:  "instance replaces contact",
			steps: []location.Register{reg(1, inst(desk, "<urn:x>", 0)), reg(2, inst(soft, "<urn:x>", 0))},
			want:  []string{soft}, changes: "moved " + soft,
		},
		{
			name: "new contact and removal of the old one of an instance",
			steps: []location.Register{
				reg(1, inst(desk, "<urn:x>", 0)),
				reg(2, inst(soft, "<urn:x>", 0), gone(inst(desk, "<urn:x>", 0))),
			},
			want: []string{soft}, changes: "moved " + soft,
		},
		{
			name: "the same retransmitted",
			steps: []location.Register{
				reg(1, inst(desk, "<urn:x>", 0)),
				reg(2, inst(soft, "<urn:x>", 0), gone(inst(desk, "<urn:x>", 0))),
				reg(2, inst(soft, "<urn:x>", 0), gone(inst(desk, "<urn:x>", 0))),
			},
			want: []string{soft},
		},
		{
			name: "removal of the old one first",
			steps: []location.Register{
				reg(1, inst(desk, "<urn:x>", 0)),
				reg(2, gone(inst(desk, "<urn:x>", 0)), inst(soft, "<urn:x>", 0)),
			},
			want: []string{soft}, changes: "removed " + desk + ", added " + soft,
		},
		{
			name:    "removed by the reg-id after a reboot",
			steps:   []location.Register{reg(1, inst(desk, "<urn:x>", 1)), reg(2, gone(inst(soft, "<urn:x>", 1)))},
			changes: "removed " + desk,
		},
		{
			name:  "removal of a contact that the instance left before",
			steps: []location.Register{reg(1, inst(desk, "<urn:x>", 0)), reg(2, inst(soft, "<urn:x>", 0)), reg(3, gone(inst(desk, "<urn:x>", 0)))},
			want:  []string{soft},
		},
		{
			name:  "one binding per reg-id",
			steps: []location.Register{reg(1, inst(desk, "<urn:x>", 1)), reg(2, inst(soft, "<urn:x>", 2))},
			want:  []string{desk, soft}, changes: "added " + soft,
		},
		{
			name: "without reg-ids all of the instance go",
			steps: []location.Register{
				reg(1, inst(desk, "<urn:x>", 1)), reg(2, inst(soft, "<urn:x>", 2)), reg(3, inst(soft, "<urn:x>", 0)),
			},
			want: []string{soft}, changes: "removed " + soft + ", moved " + soft,
		},
		{
			name:  "reg-id without an instance means nothing",
			steps: []location.Register{reg(1, inst(desk, "", 1)), reg(2, inst(desk, "", 2))},
			want:  []string{desk}, changes: "refreshed " + desk,
		},
		{
			name:  "the phone names its instance from now on",
			steps: []location.Register{reg(1, at(desk)), reg(2, inst(desk, "<urn:x>", 0))},
			want:  []string{desk}, changes: "moved " + desk,
		},
		{
			name: "two devices with one private address",
			steps: []location.Register{
				reg(1, at("sip:1001@10.0.0.5")),
				with(reg(1, at("sip:1001@10.0.0.5")), func(r *location.Register) { r.Device, r.Flow, r.CallID = "home", flow(8), "b" }),
			},
			want: []string{"sip:1001@10.0.0.5", "sip:1001@10.0.0.5"}, changes: "added sip:1001@10.0.0.5",
		},
		{
			name:  "contacts that only parameters tell apart",
			steps: []location.Register{reg(1, at(desk), at(desk+";transport=tcp"))},
			want:  []string{desk, desk + ";transport=tcp"}, changes: "added " + desk + ", added " + desk + ";transport=tcp",
		},
		{name: "empty contact", steps: []location.Register{reg(1, at(""))}, err: location.ErrMalformed},
		{name: "long contact", steps: []location.Register{reg(1, at("sip:"+strings.Repeat("x", 600)))}, err: location.ErrTooLong},
		{
			name: "too many contacts",
			steps: []location.Register{with(reg(1, at(desk), at(soft)), func(r *location.Register) {
				r.Limits.Contacts = 1
			})},
			err: location.ErrTooMany,
		},
		{
			name: "too many instances",
			steps: []location.Register{
				reg(1, at("sip:1"), at("sip:2"), at("sip:3"), inst("sip:4", "<urn:x>", 1), inst("sip:5", "<urn:x>", 2), inst("sip:6", "<urn:y>", 0)),
				reg(2, at("sip:7")),
			},
			want: []string{"sip:1", "sip:2", "sip:3", "sip:4", "sip:5", "sip:6"}, err: location.ErrNotYours,
		},
		{
			name: "a lowered limit lets refreshes through",
			steps: []location.Register{
				reg(1, at(desk), at(soft)),
				with(reg(2, at(desk)), func(r *location.Register) { r.Limits.Contacts, r.Limits.Instances = 1, 1 }),
			},
			want: []string{desk, soft}, changes: "refreshed " + desk,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var (
				bs      location.Bindings
				changes []location.Change
				err     error
			)
			for i, r := range tt.steps {
				before := append(location.Bindings(nil), bs...)
				next, ch, e := bs.Apply(r, t0)
				if i < len(tt.steps)-1 && e != nil {
					t.Fatalf("step %d: %v", i, e)
				}
				if diff := cmp.Diff(before, append(location.Bindings(nil), bs...), cmp.Comparer(flowEqual)); diff != "" {
					t.Errorf("Apply changed its receiver:\n%s", diff)
				}
				bs, changes, err = next, ch, e
			}
			if !errors.Is(err, tt.err) {
				t.Fatalf("Apply error = %v, want %v", err, tt.err)
			}
			var got []string
			for _, b := range bs {
				got = append(got, b.Contact)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("contacts (-want +got):\n%s", diff)
			}
			var words []string
			for _, c := range changes {
				words = append(words, c.What.String()+" "+c.Binding().Contact)
			}
			if got := strings.Join(words, ", "); got != tt.changes {
				t.Errorf("changes = %q, want %q", got, tt.changes)
			}
		})
	}
}

func flowEqual(a, b location.Flow) bool { return a == b }

func TestApplyGrants(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		contact, field location.Expiry
		limits         location.Limits
		want           time.Duration
		err            error
	}{
		{name: "default", want: time.Hour},
		{name: "field", field: location.In(120), want: 2 * time.Minute},
		{name: "contact before field", contact: location.In(90), field: location.In(120), want: 90 * time.Second},
		{name: "clamped", field: location.In(1 << 31), want: time.Hour},
		{name: "least", field: location.In(60), want: time.Minute},
		{name: "brief", field: location.In(59), err: location.TooBriefError{Min: time.Minute}},
		{
			name: "an hour is never brief", field: location.In(3600),
			limits: location.Limits{Min: 2 * time.Hour, Max: 3 * time.Hour}, want: time.Hour,
		},
		{name: "own default", limits: location.Limits{Default: 300 * time.Second}, want: 300 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := reg(1, location.Contact{URI: desk, Expires: tt.contact})
			r.Expires, r.Limits = tt.field, tt.limits
			bs, _, err := location.Bindings{}.Apply(r, t0.Add(1500*time.Microsecond))
			if !errors.Is(err, tt.err) {
				t.Fatalf("Apply error = %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			if want := t0.Add(time.Millisecond + tt.want); !bs[0].Expires.Equal(want) || bs[0].Granted != tt.want {
				t.Errorf("expires %v, granted %v; want %v, %v", bs[0].Expires, bs[0].Granted, want, tt.want)
			}
		})
	}
}

func TestApplyExpires(t *testing.T) {
	t.Parallel()
	bs, _, err := location.Bindings{}.Apply(reg(5, location.Contact{URI: desk, Expires: location.In(60)}, at(soft)), t0)
	if err != nil {
		t.Fatal(err)
	}
	// An expired binding is none: its CSeq does not count any more.
	next, changes, err := bs.Apply(reg(1, at(desk)), t0.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if len(next) != 2 || len(changes) != 2 || changes[0].What != location.Expired || changes[1].What != location.Added {
		t.Errorf("Apply = %v, %v", next, changes)
	}
	if !bs.NextExpiry().Equal(t0.Add(time.Minute)) || !bs.LastExpiry().Equal(t0.Add(time.Hour)) {
		t.Errorf("expiry from %v to %v", bs.NextExpiry(), bs.LastExpiry())
	}
}

func TestNAT(t *testing.T) {
	t.Parallel()
	tests := []struct {
		contact string
		want    bool
	}{
		{"sip:1001@192.0.2.1:5060", false},
		{"sip:1001@192.0.2.1:40000;transport=tcp", false},
		{"sip:1001@10.0.0.5:5060", true},
		{"sip:k3j2@l4k2j3.invalid;transport=ws", true},
		{"sip:1001@phone.example.org", true},
		{"sip:1001@[::ffff:192.0.2.1]", false},
		{"tel:+4989123", true},
	}
	for _, tt := range tests {
		t.Run(tt.contact, func(t *testing.T) {
			t.Parallel()
			bs, _, err := location.Bindings{}.Apply(reg(1, at(tt.contact)), t0)
			if err != nil {
				t.Fatal(err)
			}
			if bs[0].NAT != tt.want {
				t.Errorf("NAT = %t, want %t", bs[0].NAT, tt.want)
			}
		})
	}
}
