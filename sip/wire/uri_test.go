package wire_test

import (
	"fmt"
	"testing"

	"bellhop/sip/wire"
)

func TestParseURI(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{ // scheme|user|password|host|port|params|headers|opaque
		{"sip:alice@atlanta.com", "sip|alice||atlanta.com||||"},
		{"SIPS:alice:secret@atlanta.com:5061;transport=tcp?subject=a&to=b", "SIPS|alice|secret|atlanta.com|5061|;transport=tcp|subject=a&to=b|"},
		{"sip:atlanta.com", "sip|||atlanta.com||||"},
		{"sip:@atlanta.com", "sip|||atlanta.com||||"},
		{"sip:+1-212-555-1212:1234@gateway.com;user=phone", "sip|+1-212-555-1212|1234|gateway.com||;user=phone||"},
		{"sip:alice;day=tuesday@atlanta.com", "sip|alice;day=tuesday||atlanta.com||||"},
		{"sip:a?b/c@atlanta.com", "sip|a?b/c||atlanta.com||||"},
		{"sip:[2001:db8::1]:5060;lr", "sip|||[2001:db8::1]|5060|;lr||"},
		{"sip:user_1@my_host", "sip|user_1||my_host||||"},
		{"sip:zwölf@h", "sip|zwölf||h||||"},
		{"sip:a%zz@h", "sip|a%zz||h||||"},
		{"sip:h?x=y", "sip|||h|||x=y|"},
		{"tel:+49-89-1;phone-context=x", "tel|+49-89-1||||;phone-context=x||"},
		{"urn:service:sos", "urn|||||||service:sos"},
		{"soap.beep://192.0.2.103:3002", "soap.beep|||||||//192.0.2.103:3002"},
		{"", "false"},
		{"sip", "false"},
		{"sip:", "false"},
		{":a@b", "false"},
		{"1ip:a@b", "false"},
		{"sip:a@", "false"},
		{"sip:a@b:", "false"},
		{"sip:a@b:x", "false"},
		{"sip:a@b:70000", "false"},
		{"sip:a@b@c", "false"},
		{"sip:a@b,c", "false"},
		{"sip:a b@c", "false"},
		{"<sip:a@b>", "false"},
		{"sip:a@[::1", "false"},
		{"sip:a@[x]", "false"},
		{"sip:a\r\n@b", "false"},
		{"tel:", "false"},
		{"tel:;x=y", "false"},
		{"urn:", "false"},
	}
	for _, row := range tests {
		t.Run(row.in, func(t *testing.T) {
			t.Parallel()
			got := "false"
			if u, ok := wire.ParseURI([]byte(row.in)); ok {
				got = fmt.Sprintf("%s|%s|%s|%s|%s|%s|%s|%s", u.Scheme, u.User, u.Password, u.Host, u.Port, u.Params, u.Headers, u.Opaque)
			}
			if got != row.want {
				t.Errorf("ParseURI(%q) = %s, want %s", row.in, got, row.want)
			}
		})
	}
}

func TestURIParam(t *testing.T) {
	t.Parallel()
	u, _ := wire.ParseURI([]byte("sip:h;lr;Transport=tcp;empty=;;x=a=b"))
	for name, want := range map[string]string{
		"LR": "<nil> true", "transport": "tcp true", "empty": " true", "x": "a=b true", "h": "<nil> false", "": "<nil> true",
	} {
		v, ok := u.Param(name)
		got := fmt.Sprintf("%s %v", v, ok)
		if v == nil {
			got = fmt.Sprintf("<nil> %v", ok)
		}
		if got != want {
			t.Errorf("Param(%q) = %s, want %s", name, got, want)
		}
	}
}

// TestEqualURI has the examples of RFC 3261 §19.1.4 first.
func TestEqualURI(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want bool
	}{
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;security=on", true},
		{"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true},
		{"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true},
		{"sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
		{"sip:a@b", "sips:a@b", false},
		{"sip:a@b;maddr=1.2.3.4", "sip:a@b", false},
		{"sip:a@b;user=phone", "sip:a@b", false},
		{"sip:a@b;ttl=1", "sip:a@b", false},
		{"sip:a:x@b", "sip:a:y@b", false},
		{"sip:@b", "sip:b", false},
		{"sip:a@b:5060", "sip:a@b:05060", true},
		{"sip:a@b;lr", "sip:a@b;LR", true},
		{"tel:+1", "TEL:+1", true},
		{"tel:+1", "tel:+2", false},
		{"nonsense", "nonsense", false},
	}
	for _, row := range tests {
		t.Run(row.a+" "+row.b, func(t *testing.T) {
			t.Parallel()
			a, b := []byte(row.a), []byte(row.b)
			if got, back := wire.EqualURI(a, b), wire.EqualURI(b, a); got != row.want || back != row.want {
				t.Errorf("EqualURI(%s, %s) = %v and %v, want %v", a, b, got, back, row.want)
			}
		})
	}
}

func TestEscapes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"a%20b": "a b", "%41%4a%4A": "AJJ", "%": "%", "%4": "%4", "%zz": "%zz", "": ""} {
		equal(t, "AppendUnescaped "+in, wire.AppendUnescaped(nil, []byte(in)), want)
	}
	for in, want := range map[string]string{"1001": "1001", "a b@c": "a%20b%40c", "ü": "%C3%BC", "a:b#": "a%3Ab%23", "+(1)": "+(1)"} {
		equal(t, "AppendEscapedUser "+in, wire.AppendEscapedUser(nil, in), want)
	}
	for in, want := range map[string]string{`"a \"b\" \\c"`: `a "b" \c`, `plain`: `plain`, `"`: `"`, `""`: ``} {
		equal(t, "AppendUnquoted "+in, wire.AppendUnquoted(nil, []byte(in)), want)
	}
	for in, want := range map[string]string{`a "b" \c`: `"a \"b\" \\c"`, "a\r\nb\x00": `"a  b "`, "": `""`} {
		equal(t, "AppendQuoted "+in, wire.AppendQuoted(nil, in), want)
	}
}
