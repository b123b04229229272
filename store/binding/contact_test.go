package binding_test

import (
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/location"
	"bellhop/store/binding"
)

// TestAtContact follows the Contact of a device: registered, refreshed, in the next
// process, beside others with the same one, moved and gone.
func TestAtContact(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSaver()
		tb := newTable(t, s, nil)
		do := func(user, contact, instance string, cseq uint32, expires time.Duration) {
			t.Helper()
			r := register(cseq, 600)
			r.CallID = user + contact
			r.Contacts = []location.Contact{{URI: contact, Instance: instance, Expires: location.In(uint32(expires / time.Second)), Q: 1000}}
			if _, _, err := tb.Register(t.Context(), aor(t, user), r); err != nil {
				t.Fatal(err)
			}
		}
		want := func(when string, tb *binding.Table, domain, uri, want string) {
			t.Helper()
			got := "nobody"
			if number, instance, ok := tb.AtContact(domain, uri); ok {
				got = number + " " + instance
			}
			if got != want {
				t.Errorf("%s: %s is %s, want %s", when, uri, got, want)
			}
		}
		const (
			desk = "sip:1001@10.0.0.7:5062;transport=tcp"
			web  = "sip:x7k@q3.invalid;transport=ws"
			d    = "a.test"
		)
		want("at the start", tb, d, web, "nobody")
		do("1001", desk, "", 1, time.Hour)
		do("1001", web, "<urn:x:web>", 1, time.Hour)
		do("1002", "sip:1001@10.0.0.7:5062", "", 1, time.Hour) // somebody else says so
		do("1003", "sip:X7K@Q3.INVALID;transport=ws", "", 1, time.Hour)
		do("1003", "sip:x7k@Q3.INVALID", "", 1, time.Hour)
		for when, tb := range map[string]*binding.Table{"now": tb, "in the next process": newTable(t, s, nil)} {
			want(when, tb, d, desk, "1001 "+desk)
			want(when, tb, d, "sip:1001@10.0.0.7:5062", "1001 "+desk)
			want(when, tb, d, "sip:1001@10.0.0.7:5062;transport=tcp;ob?Replaces=1", "1001 "+desk)
			want(when, tb, d, "sip:1001@10.0.0.7", "nobody")
			want(when, tb, d, "sip:1004@10.0.0.7:5062", "nobody")
			want(when, tb, "b.test", desk, "nobody")
			want(when, tb, d, "sip:10.0.0.7:5062", "nobody")
			want(when, tb, d, "tel:1001", "nobody")
		}
		want("with another's beside it", tb, d, web, "1001 urn:x:web")
		want("case", tb, d, "sip:X7K@q3.invalid", "1003 sip:X7K@Q3.INVALID;transport=ws")
		do("1001", web, "<urn:x:web>", 2, time.Hour)
		want("refreshed", tb, d, web, "1001 urn:x:web")
		do("1001", "sip:new@q4.invalid;transport=ws", "<urn:x:web>", 3, time.Hour)
		want("moved", tb, d, "sip:new@q4.invalid;transport=ws", "1001 urn:x:web")
		do("1001", "sip:new@q4.invalid;transport=ws", "<urn:x:web>", 4, 0)
		want("gone", tb, d, "sip:new@q4.invalid;transport=ws", "nobody")
	})
}
