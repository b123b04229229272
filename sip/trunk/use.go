package trunk

import (
	"slices"
	"sync"
	"time"
)

// A bucket is how many calls may begin now (max_cps): a full second's at most.
// The mutex of the manager guards it.
type bucket struct {
	tokens float64
	filled time.Time
}

// Acquire takes a place among the calls of a trunk, in or out (rule
// limit.trunk). The call that has it gives it back at its end with release, which
// may be called more than once. The error is [ErrCalls], [ErrRate] or
// [ErrUnknown].
func (m *Manager) Acquire(domain, name string) (release func(), err error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.trunks[key{domain, name}]
	if t == nil {
		return nil, ErrUnknown
	}
	if t.def.MaxCalls > 0 && m.calls[t.key] >= t.def.MaxCalls {
		t.refused["calls"]++
		return nil, ErrCalls
	}
	if rate := t.def.MaxCPS; rate > 0 && !t.rate.take(rate, now) {
		t.refused["cps"]++
		return nil, ErrRate
	}
	return m.holdLocked(t.key), nil
}

// Hold is Acquire without limits: for a call that is there already, after a
// restart, before the trunks are loaded, and for one that no limit stops.
func (m *Manager) Hold(domain, name string) (release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.holdLocked(key{domain, name})
}

func (m *Manager) holdLocked(k key) func() {
	m.calls[k]++
	return sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.calls[k]--; m.calls[k] == 0 {
			delete(m.calls, k)
		}
	})
}

// take takes a token, of rate a second; a full second's may be taken at once.
func (b *bucket) take(rate int, now time.Time) bool {
	b.tokens = min(b.tokens+now.Sub(b.filled).Seconds()*float64(rate), float64(rate))
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// Takes reports whether a trunk may send a method in a dialog beyond those that
// every trunk may (trust.md §1).
func (m *Manager) Takes(domain, name, method string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.trunks[key{domain, name}]
	return t != nil && slices.Contains(t.def.Trunk.Methods, method)
}
