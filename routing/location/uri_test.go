package location_test

import (
	"errors"
	"testing"

	"bellhop/routing/location"
)

// TestEqualURI has the examples of RFC 3261 §19.1.4 and a few more.
func TestEqualURI(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want bool
	}{
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;security=on", true},
		{"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true},
		{
			"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
			"sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true,
		},
		{
			"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
			"sip:alice@atlanta.com?priority=urgent&subject=project%20x", true,
		},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
		{"sip:bob@biloxi.com", "sips:bob@biloxi.com", false},
		{"sip:biloxi.com", "sip:@biloxi.com", false},
		{"sip:bob:a@biloxi.com", "sip:bob:b@biloxi.com", false},
		{"sip:b%3Bb@biloxi.com", "sip:b;b@biloxi.com", false},
		{"sip:b%3bb@biloxi.com", "sip:b%3Bb@biloxi.com", true},
		{"sip:a@[2001:db8::1]:5060", "sip:a@[2001:DB8:0:0::1]:5060", true},
		{"tel:+49891", "tel:+49891", true},
		{"tel:+49891", "tel:+49892", false},
		{"", "sip:a@b", false},
	}
	for _, tt := range tests {
		t.Run(tt.a+" "+tt.b, func(t *testing.T) {
			t.Parallel()
			if got := location.EqualURI(tt.a, tt.b); got != tt.want {
				t.Errorf("EqualURI(%s, %s) = %t, want %t", tt.a, tt.b, got, tt.want)
			}
			if got := location.EqualURI(tt.b, tt.a); got != tt.want {
				t.Errorf("EqualURI(%s, %s) = %t, want %t", tt.b, tt.a, got, tt.want)
			}
		})
	}
}

func FuzzEqualURI(f *testing.F) {
	f.Add("sip:%61lice@atlanta.com;transport=TCP?a=b", "sip:alice@[::1]:5;x;y=1")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !location.EqualURI(a, a) {
			t.Errorf("EqualURI(%q) with itself is false", a)
		}
		if location.EqualURI(a, b) != location.EqualURI(b, a) {
			t.Errorf("EqualURI(%q, %q) depends on the order", a, b)
		}
	})
}

func TestParseAOR(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"sip:1001@Bellhop.Test", "sip:1001@bellhop.test"},
		{"SIPS:1001@bellhop.test:5061;transport=tls?a=b", "sip:1001@bellhop.test"},
		{"sip:%31001:secret@bellhop.test", "sip:1001@bellhop.test"},
		{"sip:+49 89@x", "sip:+49%2089@x"},
		{"sip:+49;phone-context=x@host", "sip:+49%3Bphone-context=x@host"},
		{"sip:a@[2001:DB8::1]:5060", "sip:a@[2001:db8::1]"},
		{"sip:ä@x", "sip:%C3%A4@x"},
		{"sip:bellhop.test", ""},
		{"sip:@bellhop.test", ""},
		{"sip:a@", ""},
		{"sip:a@b@c", ""},
		{"sip:a%0d@b", ""},
		{"sip:a%zz@b", ""},
		{"sip:a@b c", ""},
		{"sip:a@[::1", ""},
		{"tel:+4989", ""},
		{"1001", ""},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			got, err := location.ParseAOR(tt.in)
			if tt.want == "" {
				if !errors.Is(err, location.ErrBadAOR) {
					t.Errorf("ParseAOR = %v, %v, want ErrBadAOR", got, err)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("ParseAOR = %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func FuzzParseAOR(f *testing.F) {
	f.Add("sip:alice@Example.org;transport=tcp")
	f.Add("sip:%20%41@[::1]:5060")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := location.ParseAOR(s)
		if err != nil {
			return
		}
		again, err := location.ParseAOR(a.String())
		if err != nil || again != a {
			t.Fatalf("ParseAOR(%q) = %v; its String does not parse back: %v, %v", s, a, again, err)
		}
		if b, err := location.NewAOR(a.User(), a.Domain()); err != nil || b != a {
			t.Fatalf("NewAOR of the parts of %v = %v, %v", a, b, err)
		}
	})
}
