// Package record is the stored form of ended calls and the index that finds
// them by number, as pure functions.
package record

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"bellhop/feed"
)

// stored is the form of a record, for reading.
type stored struct {
	Call  feed.Call   `json:"call"`
	Story []feed.Step `json:"story"`
	Legs  []feed.Leg  `json:"legs"`
}

// Decode reads what [AppendJSON] wrote.
func Decode(b []byte) (*feed.Call, error) {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	s.Call.Story, s.Call.Legs = s.Story, s.Legs
	return &s.Call, nil
}

// AppendJSON appends the stored form of a call: {"call": ..., "story": [...],
// "legs": [...]}, with the names of feed.Call, feed.Step and feed.Leg. It is what encoding/json would
// write, at a fifth of the cost: every call comes through here.
func AppendJSON(b []byte, c *feed.Call) []byte {
	b = append(b, `{"call":{"id":`...)
	b = appendString(b, c.ID)
	b = appendField(b, "domain", c.Domain)
	b = appendField(b, "call_id", c.CallID)
	b = appendField(b, "caller_tag", c.CallerTag)
	b = appendOptional(b, "callee_tag", c.CalleeTag)
	b = appendField(b, "caller", c.Caller)
	b = appendField(b, "caller_device", c.CallerDev)
	b = appendField(b, "called", c.Called)
	b = appendOptional(b, "number", c.Number)
	b = appendOptional(b, "device", c.Device)
	b = append(b, `,"state":`...)
	b = strconv.AppendUint(b, uint64(c.State), 10)
	b = appendTime(b, "started", c.Started)
	b = appendTime(b, "answered_at", c.AnsweredAt)
	b = appendTime(b, "ended_at", c.EndedAt)
	if c.Status != 0 {
		b = append(b, `,"status":`...)
		b = strconv.AppendInt(b, int64(c.Status), 10)
	}
	b = appendOptional(b, "outcome", c.Outcome)
	b = appendOptional(b, "rule", c.Rule)
	b = appendTime(b, "deadline", c.Deadline)
	b = appendOptional(b, "anchored", c.Anchored)
	if len(c.Emergency) > 0 {
		b = append(b, `,"emergency":[`...)
		for _, n := range c.Emergency {
			b = append(appendString(b, n), ',')
		}
		b[len(b)-1] = ']'
	}
	b = append(b, '}')
	if len(c.Story) > 0 {
		b = append(b, `,"story":[`...)
		for i := range c.Story {
			s := &c.Story[i]
			b = append(b, `{"at":"`...)
			b = s.At.AppendFormat(b, time.RFC3339Nano)
			b = append(b, `","rule":`...)
			b = appendString(b, s.Rule)
			b = appendOptional(b, "number", s.Number)
			b = appendOptional(b, "to", s.To)
			b = appendOptional(b, "setting", s.Setting)
			b = appendOptional(b, "value", s.Value)
			b = appendOptional(b, "level", s.Level.String())
			b = appendOptional(b, "owner", s.Owner)
			b = append(b, '}', ',')
		}
		b[len(b)-1] = ']'
	}
	if len(c.Legs) > 0 {
		b = append(b, `,"legs":[`...)
		for i := range c.Legs {
			b = append(appendLeg(b, &c.Legs[i]), ',')
		}
		b[len(b)-1] = ']'
	}
	return append(b, '}')
}

func appendLeg(b []byte, l *feed.Leg) []byte {
	b = append(b, `{"state":`...)
	b = strconv.AppendUint(b, uint64(l.State), 10)
	if l.Caller {
		b = append(b, `,"caller":true`...)
	}
	b = appendOptional(b, "number", l.Number)
	b = appendOptional(b, "device", l.Device)
	b = appendOptional(b, "trunk", l.Trunk)
	b = appendOptional(b, "remote", l.Remote)
	b = appendOptional(b, "identity", l.Identity)
	b = appendOptional(b, "by", l.By)
	b = appendOptional(b, "kind", l.Kind)
	if l.Status != 0 {
		b = append(b, `,"status":`...)
		b = strconv.AppendInt(b, int64(l.Status), 10)
	}
	b = appendTime(b, "started", l.Started)
	b = appendTime(b, "answered_at", l.AnsweredAt)
	b = appendTime(b, "ended_at", l.EndedAt)
	return append(b, '}')
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendField(b, name, value)
}

func appendTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':', '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendString appends s as a JSON string (RFC 8259 §7). What peers send may be
// no UTF-8: such bytes become U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[start:i]...)
				b = append(b, `\ufffd`...)
				start = i + n
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		if c < ' ' {
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			b = append(b, '\\', c)
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// WithoutStory returns a record that [AppendJSON] wrote without its story, and
// whether it had one.
func WithoutStory(b []byte) (without []byte, had bool, err error) {
	var s map[string]json.RawMessage
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, false, fmt.Errorf("record: %w", err)
	}
	if _, had = s["story"]; !had {
		return b, false, nil
	}
	delete(s, "story")
	if without, err = json.Marshal(s); err != nil {
		return nil, true, fmt.Errorf("record: %w", err)
	}
	return without, true, nil
}
