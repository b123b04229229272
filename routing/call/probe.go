package call

import "time"

// watch asks the ends after a while whether they are there.
func (s *step) watch(after time.Duration) {
	s.probeAt = s.now.Add(after)
	s.start(TimerProbe, A, after)
}

// probe asks the ends that nobody refreshes whether they are there, or only those
// that gave no answer just now. Whatever else an end does is no reason to leave it
// out: two small requests an hour cost less than to note every message.
func (s *step) probe() {
	again := s.legs[A].missed || s.legs[B].missed
	for l := range s.legs {
		if g := &s.legs[l]; g.timing.Interval == 0 && g.probe == 0 && (g.missed || !again) {
			s.askAfter(Leg(l))
		}
	}
	s.watch(ProbeTime)
}

// askAfter asks one end.
func (s *step) askAfter(l Leg) {
	id := s.mine()
	s.legs[l].probe = id
	s.add(request{id: id, from: l.Other(), method: MethodOptions, own: true})
	s.do(Probe{Leg: l, ID: id})
}

// probed takes the answer to a probe. Any but 481 shows that the end is there; it
// need not know OPTIONS. Two that are missing show that it is gone.
func (s *step) probed(r request, ev Response) {
	g := &s.legs[ev.Leg]
	g.probe = 0
	switch {
	case ev.Status == 408 && !g.missed:
		g.missed = true
		s.watch(ProbeAgain)
	case ev.Status == 408, gone(r.method, ev.Status):
		s.end(Lost, ev.Leg)
		s.tearDown(0)
	default:
		g.missed = false
		s.do(Journal{})
	}
}
