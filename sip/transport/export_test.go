package transport

// IsSTUN and AnswerSTUN show how STUN is read and answered to tests.
var (
	IsSTUN     = isSTUN
	AnswerSTUN = answerSTUN
)
