package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

func contains(t *testing.T, m *siptest.Message, want ...string) {
	t.Helper()
	for _, s := range want {
		not := strings.HasPrefix(s, "!")
		if s = strings.TrimPrefix(s, "!"); strings.Contains(m.Body(), s) == not {
			t.Errorf("%q is there: %t, in\n%s", s, not, m.Body())
		}
	}
}

// TestPresence: status, note and return time, as far as the user lets others see them.
func TestPresence(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ben, eve := h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
		own, w := watching(t, ben, "presence", "1002"), watching(t, eve, "presence", "user1002")
		contains(t, w.last, `entity="sip:user1002@bellhop.test"`, "<basic>open</basic>", `state="idle"`, "Available", "!activities")
		set := func(body string) {
			t.Helper()
			h.apply(t, put(directory.KindPresence, "user1002", body))
			own.notified(t)
		}
		until := time.Now().Add(90 * time.Minute).UTC().Format(time.RFC3339)
		set(`{"status":"vacation","note":"back <soon> & rested","until":"` + until + `","end_by_itself":true}`)
		contains(t, w.notified(t), `<rpid:activities until="`+until+`"><rpid:vacation/></rpid:activities>`, "back &lt;soon&gt; &amp; rested")
		set(`{"status":"lunch","visibility":"nobody","note":"private"}`)
		contains(t, w.notified(t), "!lunch", "!private", `state="idle"`)
		contains(t, own.last, "<rpid:lunch/>", "private")
		h.apply(t, put(directory.KindDND, "user1002", `{"enabled":true}`))
		contains(t, own.notified(t), "<rpid:busy/>", `state="dnd"`)
		eve.Quiet(t, time.Second)
		set(`{"status":"meeting","visibility":"internal","until":"` + time.Now().Add(30*time.Minute).UTC().Format(time.RFC3339) + `","end_by_itself":true}`)
		contains(t, w.notified(t), "<rpid:busy/>") // do not disturb is the status while it is on
		h.apply(t, put(directory.KindDND, "user1002", `{"enabled":false}`))
		contains(t, w.notified(t), "<rpid:meeting/>")
		own.notified(t)
		eve.Patience = 31 * time.Minute
		ben.Patience = time.Minute
		contains(t, w.notified(t), "!meeting", "Available") // by itself
		contains(t, own.notified(t), "!meeting")
		ben.Register(t, siptest.Registration{Expires: "0"})
		contains(t, w.notified(t), "<basic>closed</basic>", "Not registered")
	})
}

// TestReg: the registrations of a number, for its devices and for administrators.
func TestReg(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, put(directory.KindUser, "user1004", `{"role":"domain-admin"}`))
		ben, chief := h.registered(t, "desk-1002", 12), h.registered(t, "desk-1004", 14)
		own, w := watching(t, ben, "reg", "1002"), watching(t, chief, "reg", "1002")
		contains(t, own.last, `aor="sip:1002@bellhop.test"`, `state="active"`, "<uri>"+ben.Contact()+"</uri>", `expires="3600"`, `version="0"`)
		soft := h.registered(t, "soft-1002", 13)
		for _, x := range []*watcher{own, w} {
			contains(t, x.notified(t), soft.Contact(), ben.Contact(), `version="1"`)
		}
		soft.Register(t, siptest.Registration{})
		chief.Quiet(t, time.Second) // a refresh is no news
		soft.Register(t, siptest.Registration{Expires: "0"})
		contains(t, w.notified(t), "!"+soft.Contact())
	})
}

// TestMessageSummary: nobody has messages yet.
func TestMessageSummary(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ben := h.registered(t, "desk-1002", 12)
		w := watching(t, ben, "message-summary", "1002", "Accept: application/simple-message-summary")
		contains(t, w.last, "Messages-Waiting: no\r\n", "Message-Account: sip:1002@bellhop.test\r\n", "Voice-Message: 0/0 (0/0)\r\n")
	})
}

// key makes the SUBSCRIBE by which a key of a phone changes a setting.
func (w *watcher) key(t *testing.T, body string) *siptest.Request {
	t.Helper()
	r := w.subscribe(t, "Content-Type: "+featureType)
	r.Body = `<?xml version="1.0" encoding="ISO-8859-1"?>` + "\n" + body
	return r
}

func setDND(on bool) string {
	return fmt.Sprintf(`<SetDoNotDisturb xmlns="http://www.ecma-international.org/standards/ecma-323/csta/ed3"><device></device><doNotDisturbOn>%t</doNotDisturbOn></SetDoNotDisturb>`, on)
}

func setForwarding(kind string, on bool, to string) string {
	return fmt.Sprintf(`<SetForwarding xmlns="http://www.ecma-international.org/standards/ecma-323/csta/ed3"><device/><forwardingType>%s</forwardingType><activateForward>%t</activateForward><forwardDN>%s</forwardDN></SetForwarding>`, kind, on, to)
}

// TestKeys: keys of a phone and settings in step, both ways.
func TestKeys(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ben, soft := h.registered(t, "desk-1002", 12), h.registered(t, "soft-1002", 13)
		w, other := watching(t, ben, "as-feature-event", "1002"), watching(t, soft, "as-feature-event", "1002")
		if got := w.last.Header("Content-Type"); !strings.HasPrefix(got, "multipart/mixed;boundary=") {
			t.Errorf("Content-Type: %s", got)
		}
		contains(t, w.last, "<doNotDisturbOn>false<", "forwardImmediate", "forwardBusy", "forwardNoAns", "<ringCount>3<")

		contains(t, w.send(t, w.key(t, setDND(true))), "<doNotDisturbOn>true<")
		contains(t, other.notified(t), "<doNotDisturbOn>true<", "!forward")
		if got := h.document(t, directory.KindDND, "user1002"); !strings.Contains(got, `"enabled":true`) {
			t.Errorf("dnd is %s", got)
		}
		rows, _, err := h.store.History(t.Context(), directory.Ref{Domain: domain, Kind: directory.KindDND, Name: "user1002"}, 10, "")
		if err != nil || len(rows) != 1 || rows[0].Actor != "device:desk-1002@bellhop.test" || rows[0].From != "192.0.2.12" {
			t.Errorf("history: %+v, %v", rows, err)
		}

		m := w.send(t, w.key(t, setForwarding("forwardImmediate", true, "1004")))
		contains(t, m, "<forwardStatus>true<", "<forwardTo>1004<")
		contains(t, other.notified(t), "forwardImmediate", "<forwardStatus>true<", "!DoNotDisturb")
		contains(t, w.send(t, w.key(t, setForwarding("forwardImmediate", false, ""))), "<forwardTo>1004<", "!<forwardStatus>true<")
		other.notified(t)
		if got := h.document(t, directory.KindForwarding, "1002"); !strings.Contains(got, `"target":"1004"`) || strings.Contains(got, `"enabled":true`) {
			t.Errorf("forwarding is %s", got)
		}

		// The API: a key follows.
		h.apply(t, put(directory.KindDND, "user1002", `{"enabled":false}`))
		contains(t, w.notified(t), "<doNotDisturbOn>false<", "!forward")
		if got := w.last.Header("Content-Type"); got != featureType {
			t.Errorf("Content-Type: %s", got)
		}
		other.notified(t)

		// A loop is refused, and the key told how things are.
		h.apply(t, put(directory.KindForwarding, "1004", `{"all":{"internal":{"enabled":true,"target":"1002"}}}`))
		m = w.send(t, w.key(t, setForwarding("forwardImmediate", true, "1004")))
		contains(t, m, "!<forwardStatus>true<")
		soft.Quiet(t, time.Second)
	})
}
