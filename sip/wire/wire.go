// Package wire is one SIP message as it came from the network: the received
// bytes and an index of their header fields, made in one pass without
// allocating. A relay reads what it needs from the index ([Message]), looks
// closer with cursors ([ParseURI], [ParseNameAddr], [ParseVia], [Params]) and
// forwards by splicing fields in, out and over ([Splice]); everything else
// passes through byte for byte.
//
// The package knows RFC 3261 §7, §19, §20 and §25: how messages are written.
// It knows no transactions, dialogs or sockets, keeps no state between
// messages, starts no goroutines and logs nothing.
//
// It is tolerant where RFC 4475 asks for it (folding, blanks, compact forms,
// lists, unknown schemes and methods) and strict where two readers could
// disagree about a message: lengths, versions, doubled mandatory fields, line
// ends that are not line ends.
package wire

// Limits of a message. A message beyond one of them is refused by
// [Message.Parse]; the fields read until then stay usable.
const (
	// MaxMessage is the largest message in bytes. It is what a UDP datagram
	// can hold, and what 16-bit offsets reach. Beyond: 513.
	MaxMessage = 65535

	// MaxLines is the largest number of header lines: a line's number plus one
	// fits a byte of the index. Real messages have under 60; every line costs
	// an index entry in each call's memory. Beyond: 400.
	MaxLines = 254

	// MaxRequestURI is the longest Request-URI in bytes, four times what
	// devices and trunks are known to send. Beyond: 414.
	MaxRequestURI = 2048

	// MaxToken is the longest Call-ID, tag or branch in bytes. These become
	// keys of tables, and are repeated in every message of a call.
	// Beyond: 400.
	MaxToken = 512

	// MaxHops is the largest Max-Forwards (RFC 3261 §20.22). Beyond: 400.
	MaxHops = 255
)

// A ParseError says why a message was refused.
type ParseError struct {
	Status int    // what a request is answered with: 400, 414, 505 or 513
	Reason string // what is wrong, fit for the status line
}

// Error returns the reason.
func (e *ParseError) Error() string { return "wire: " + e.Reason }

// A Span is a place in the bytes of a message.
type Span struct{ Off, Len uint16 }

// End returns the offset after the span's last byte.
func (s Span) End() int { return int(s.Off) + int(s.Len) }

func span(from, to int) Span { return Span{Off: uint16(from), Len: uint16(to - from)} }

func (s Span) of(b []byte) []byte { return b[s.Off : int(s.Off)+int(s.Len)] }
