package ring

// verdict is what the branches of a number came to so far: the best response of
// RFC 3261 §16.7 step 6, in the terms of rule ring.final.
type verdict struct {
	rank   rank
	kind   OutcomeKind
	status int      // what goes upstream
	from   BranchID // whose response that is, or None
}

// A rank orders verdicts; the higher one wins, of equals the first.
type rank uint8

const (
	nothing     rank = iota
	failing          // 5xx
	unreachable      // no binding, silent, a broken flow, 408 or 480 without ringing
	refusing         // 4xx that is none of the others
	busy             // 486, 600
	unanswered       // it rang
	resubmit         // 401, 407, 415, 420, 484: the caller can do something about it (RFC 3261 §16.7 step 6)
	ending           // 603 and other 6xx, and a redirect that is followed
)

// better returns the better of two verdicts.
func (v verdict) better(w verdict) verdict {
	if w.rank > v.rank {
		return w
	}
	return v
}

// missed is the verdict about a branch that gave no final response of its own.
func missed(rang bool) verdict {
	if rang {
		return verdict{rank: unanswered, kind: NoAnswer, status: 480, from: None}
	}
	return verdict{rank: unreachable, kind: Unreachable, status: 480, from: None}
}

// redirected is the verdict about a device that redirects; 480 is what the
// caller gets when that cannot be followed any more.
func redirected(i BranchID) verdict {
	return verdict{rank: ending, kind: Redirected, status: 480, from: i}
}

// judgeRemote returns the verdict about the final response of a remote
// destination. It decides nothing for the number: where the desk rang the number
// was not answered, even if the mobile was busy or declined; where nothing else
// could be reached, a busy mobile makes it busy. What a network far away says of
// itself is not passed on.
func judgeRemote(status int, rang bool) verdict {
	if status == 486 || status == 600 || status == 603 {
		return verdict{rank: busy, kind: Busy, status: 486, from: None}
	}
	return missed(rang)
}

// judge returns the verdict about a final response from 300 on of a device, or
// of a trunk that was dialled. Its status is never 408, 487 or 503, nor a 3xx: a
// redirect is dialled, not relayed (rules ring.final, device.redirect).
func judge(i BranchID, status int, rang bool) verdict {
	v := missed(rang)
	switch {
	case status == 600 || status == 486:
		return verdict{rank: busy, kind: Busy, status: 486, from: i}
	case status == 603:
		return verdict{rank: ending, kind: Declined, status: 486, from: i}
	case status > 600:
		return verdict{rank: ending, kind: Refused, status: status, from: i}
	case status == 480:
		v.from = i
		return v
	case status < 400 || status == 408 || status == 430 || status == 487 || status == 503:
		return v
	case status >= 500:
		v.rank, v.status, v.from = failing, status, i
		return v
	case status == 401 || status == 407 || status == 415 || status == 420 || status == 484:
		return verdict{rank: resubmit, kind: Refused, status: status, from: i}
	default:
		return verdict{rank: refusing, kind: Refused, status: status, from: i}
	}
}
