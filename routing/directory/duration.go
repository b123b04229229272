package directory

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Duration is a time.Duration whose JSON form is an ISO 8601 duration
// ("PT18S"). It is read from one, or from a number of milliseconds.
type Duration time.Duration

// String returns d as ISO 8601 spells it: in days when it is whole ones, else in
// hours, minutes and seconds.
func (d Duration) String() string {
	t := time.Duration(d).Round(time.Millisecond)
	if t == 0 {
		return "PT0S"
	}
	var b strings.Builder
	if t < 0 {
		b.WriteByte('-')
		t = -t
	}
	if t%day == 0 {
		return b.String() + "P" + strconv.FormatInt(int64(t/day), 10) + "D"
	}
	b.WriteString("PT")
	if h := t / time.Hour; h > 0 {
		fmt.Fprintf(&b, "%dH", h)
	}
	if m := t % time.Hour / time.Minute; m > 0 {
		fmt.Fprintf(&b, "%dM", m)
	}
	if ms := (t % time.Minute).Milliseconds(); ms > 0 {
		b.WriteString(strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64) + "S")
	}
	return b.String()
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return []byte(`"` + d.String() + `"`), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var ms int64
	if err := json.Unmarshal(b, &ms); err == nil {
		if ms > maxMillis || ms < -maxMillis {
			return errDuration
		}
		*d = Duration(time.Duration(ms) * time.Millisecond)
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return errDuration
	}
	v, ok := ParseDuration(s)
	if !ok {
		return errDuration
	}
	*d = v
	return nil
}

// maxMillis bounds what is read: ten years.
const maxMillis = 10 * 366 * 24 * 3600 * 1000

var errDuration = fmt.Errorf("directory: not a duration: want ISO 8601 like PT18S, or milliseconds")

// ParseDuration reads an ISO 8601 duration of weeks, days, hours, minutes and
// seconds. Years and months have no fixed length and are refused.
func ParseDuration(s string) (Duration, bool) {
	rest, neg := strings.CutPrefix(s, "-")
	rest, ok := strings.CutPrefix(rest, "P")
	if !ok || rest == "" {
		return 0, false
	}
	date, clock, hasClock := strings.Cut(rest, "T")
	if hasClock && clock == "" {
		return 0, false
	}
	days, ok1 := sumUnits(date, "WD", []float64{7 * 86400, 86400})
	secs, ok2 := sumUnits(clock, "HMS", []float64{3600, 60, 1})
	total := (days + secs) * 1000
	if !ok1 || !ok2 || total > maxMillis {
		return 0, false
	}
	d := Duration(time.Duration(total+0.5) * time.Millisecond)
	if neg {
		d = -d
	}
	return d, true
}

// sumUnits adds up "1H30M" with the units in their order, each at most once.
func sumUnits(s, units string, seconds []float64) (float64, bool) {
	sum, from := 0.0, 0
	for s != "" {
		n := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if n <= 0 || n > 15 {
			return 0, false
		}
		u := strings.IndexByte(units[from:], s[n])
		v, err := strconv.ParseFloat(s[:n], 64)
		if u < 0 || err != nil {
			return 0, false
		}
		sum += v * seconds[from+u]
		from += u + 1
		s = s[n+1:]
	}
	return sum, true
}
