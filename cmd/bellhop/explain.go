package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

type explainCmd struct {
	apiFlags
	Domain string            `placeholder:"DOMAIN" help:"Domain of the call (default: that of the demo)."`
	Caller string            `required:"" placeholder:"NUMBER" help:"Who calls."`
	Called string            `required:"" placeholder:"NUMBER" help:"What is dialled."`
	At     time.Time         `placeholder:"TIME" help:"When, as 2026-12-01T09:00:00Z (default: now)."`
	Assume map[string]string `mapsep:"none" placeholder:"PATH=JSON" help:"Assume a setting, as --assume 'users/ana/dnd={\"enabled\": true}'; may be given again."`
	JSON   bool              `name:"json" help:"Print the answer of the API as it is."`
}

// Help is printed by explain --help.
func (explainCmd) Help() string {
	return `Asks the daemon what it would do with a call now; nobody's phone rings. Example:

  bellhop explain --domain bellhop.test --caller 1003 --called 1000`
}

// An explanation is the answer of POST /v1/explain.
type explanation struct {
	Outcome  string `json:"outcome"`
	Anchored string `json:"anchored"` // the rule why it is not proxied
	Timeline []struct {
		At      string   `json:"at"`
		Do      string   `json:"do"`
		Target  string   `json:"target"`
		To      []string `json:"to"`
		Trunk   string   `json:"trunk"`
		Stop    string   `json:"stop"`
		Shown   string   `json:"shown"`
		Rule    string   `json:"rule"`
		Status  int      `json:"status"`
		Because []struct {
			Setting string          `json:"setting"`
			Value   json.RawMessage `json:"value"`
		} `json:"because"`
	} `json:"timeline"`
	Trace []struct {
		Rule   string `json:"rule"`
		Number string `json:"number"`
		To     string `json:"to"`
		Text   string `json:"text"`
	} `json:"trace"`
	Warnings []string `json:"warnings"`
	End      struct {
		At      string `json:"at"`
		Status  int    `json:"status"`
		Outcome string `json:"outcome"`
	} `json:"end"` // when nobody answers
	Identity struct {
		Callee string `json:"shown_to_callee"`
		Caller string `json:"shown_to_caller"`
	} `json:"identity"`
}

// Run asks and prints.
func (c explainCmd) Run(ctx context.Context, std stdio) error {
	api, err := c.client(std)
	if err != nil {
		return err
	}
	domain, err := api.orDemo(c.Domain)
	if err != nil {
		return err
	}
	question := map[string]any{"domain": domain, "caller": c.Caller, "called": c.Called}
	if !c.At.IsZero() {
		question["at"] = c.At
	}
	if len(c.Assume) > 0 {
		assume := make(map[string]json.RawMessage)
		for path, value := range c.Assume {
			if !json.Valid([]byte(value)) {
				return fmt.Errorf("--assume %s: %q is no JSON", path, value)
			}
			assume[path] = json.RawMessage(value)
		}
		question["assume"] = assume
	}
	var raw json.RawMessage
	if err := api.do(ctx, http.MethodPost, "/v1/explain", question, &raw); err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Fprintln(std.out, string(raw))
		return err
	}
	var e explanation
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	return e.print(std.out, c.Caller, c.Called)
}

// print writes the explanation for people: what happens when, then why.
func (e *explanation) print(w io.Writer, caller, called string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s calls %s: %s\n", caller, called, e.Outcome)
	for _, s := range e.Timeline {
		fmt.Fprintf(&b, "  %6s  %s", after(s.At), s.Do)
		if s.Target != "" {
			fmt.Fprintf(&b, " %s", s.Target)
		}
		if s.Status != 0 {
			fmt.Fprintf(&b, " %d", s.Status)
		}
		if len(s.To) > 0 {
			fmt.Fprintf(&b, " on %s", strings.Join(s.To, ", "))
		}
		if s.Trunk != "" {
			fmt.Fprintf(&b, " over %s", s.Trunk)
		}
		if s.Shown != "" {
			fmt.Fprintf(&b, ", shown %s", s.Shown)
		}
		if s.Stop != "" {
			fmt.Fprintf(&b, ", until %s", after(s.Stop))
		}
		if s.Rule != "" {
			fmt.Fprintf(&b, "  [%s]", s.Rule)
		}
		b.WriteByte('\n')
		for _, why := range s.Because {
			fmt.Fprintf(&b, "          because %s is %s\n", why.Setting, why.Value)
		}
	}
	switch {
	case e.End.Status == 0 || e.Outcome == "reject":
	case e.Outcome == "act":
		fmt.Fprintf(&b, "  %6s  %d (%s)\n", after(e.End.At), e.End.Status, e.End.Outcome)
	default:
		fmt.Fprintf(&b, "  %6s  %d when nobody answers (%s)\n", after(e.End.At), e.End.Status, e.End.Outcome)
	}
	if e.Anchored != "" {
		fmt.Fprintf(&b, "  the server holds both ends  [%s]\n", e.Anchored)
	}
	for _, warning := range e.Warnings {
		fmt.Fprintf(&b, "  warning: %s\n", warning)
	}
	if len(e.Trace) > 0 {
		b.WriteString("step by step\n")
	}
	for _, t := range e.Trace {
		text := t.Text
		if text == "" {
			text = strings.TrimSuffix(t.Number+" -> "+t.To, " -> ")
		}
		fmt.Fprintf(&b, "  %-24s %s\n", t.Rule, text)
	}
	if e.Identity.Callee != "" {
		fmt.Fprintf(&b, "the called phone shows %s", e.Identity.Callee)
		if e.Identity.Caller != "" {
			fmt.Fprintf(&b, ", the caller's shows %s", e.Identity.Caller)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// after renders a time from the start of the call, "PT1M18S", as "+1m18s".
func after(iso string) string {
	return "+" + strings.ToLower(strings.TrimPrefix(iso, "PT"))
}
