package journal

import (
	"time"

	"bellhop/feed"
)

// Minutes are what was talked outside on one day, as records tell of it. The zero
// Minutes are none.
type Minutes struct {
	day    int64
	talked map[ledgerKey]*[2]time.Duration
}

// Add counts the legs of an ended call that ended before a moment, on its day
// (UTC).
func (m *Minutes) Add(c *feed.Call, before time.Time) {
	m.day = dayOf(before)
	for i := range c.Legs {
		l := &c.Legs[i]
		k, ok := metered(l.Kind)
		if !ok || l.Trunk == "" || l.Caller || l.AnsweredAt.IsZero() || !l.EndedAt.Before(before) || dayOf(l.EndedAt) != m.day {
			continue
		}
		if m.talked == nil {
			m.talked = make(map[ledgerKey]*[2]time.Duration)
		}
		for _, key := range [...]ledgerKey{{c.Domain, l.By}, {c.Domain, ""}} {
			if m.talked[key] == nil {
				m.talked[key] = new([2]time.Duration)
			}
			m.talked[key][k] += l.EndedAt.Sub(l.AnsweredAt)
		}
	}
}

// AddMinutes counts what an earlier process talked today (rule limit.minutes).
func (j *Journal) AddMinutes(m *Minutes) {
	g := &j.table.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, talked := range m.talked {
		mark := g.mark(key.domain, key.key)
		if mark.day > m.day {
			continue // it is tomorrow already
		}
		mark.today(time.Unix(m.day*secondsOfDay, 0))
		for k := range talked {
			mark.talked[k].ended += talked[k]
		}
	}
}

const secondsOfDay = 24 * 60 * 60

func dayOf(t time.Time) int64 { return t.Unix() / secondsOfDay }
