package wire

// line is one header line with its continuations.
type line struct {
	start, end      uint16 // from the name to behind the line end
	value, valueEnd uint16 // the value without blanks around it
	nameLen         uint16
	field           Field
	next            uint8 // number plus one of the field's next line; 0: none
}

// A Message is the bytes of a message and the index of their header fields.
// The zero Message is ready to Parse; one that is used again and again parses
// without allocating. It borrows the bytes it parsed: whoever wants to keep it
// longer than them takes a [Message.Clone]. A plain copy shares bytes and index
// with its original, and ends with it. Several goroutines may read a Message at
// once, but none while one parses.
type Message struct {
	b     []byte
	lines []line
	first [fieldCount]uint8 // number plus one of a field's first line

	request                 bool
	headed                  bool // the empty line is there
	method, cseqMethod      Method
	status                  int
	methodText, uri, reason Span
	startEnd, headEnd       uint16 // behind the start line; behind the empty line
	callID, fromTag, toTag  Span
	cseqText                Span // the method in CSeq
	cseq                    uint32
	maxForwards             int // -1: none
	contentLength           int // -1: none
	hop                     hop
	err                     *ParseError
}

// Clone returns a copy of m with its own bytes and index.
func (m *Message) Clone() *Message {
	c := new(Message)
	m.CloneTo(c)
	return c
}

// CloneTo makes c a copy of m with its own bytes and index, in the memory that c
// had: nothing may point into that any more. c must not be one that was parsed.
func (m *Message) CloneTo(c *Message) {
	b, lines := c.b, c.lines
	*c = *m
	c.b = append(b[:0], m.b...)
	c.lines = append(lines[:0], m.lines...)
}

// Bytes returns the message from its start line to the end of its body: the
// bytes that were parsed without empty lines before the start line (RFC 3261
// §7.5) and without what followed the body (§18.3).
func (m *Message) Bytes() []byte { return m.b }

// Err returns what the last Parse found wrong, or nil.
func (m *Message) Err() *ParseError { return m.err }

// Answerable reports whether m is a request of which enough could be read to
// refuse it: top Via, From, To, Call-ID and CSeq are there, and it is not an
// ACK, which is never answered (RFC 3261 §17).
func (m *Message) Answerable() bool {
	return m.request && m.method != Ack && m.hop.ready && m.first[From] != 0 && m.first[To] != 0 &&
		m.callID.Len > 0 && m.first[CSeq] != 0
}

// IsRequest reports whether m is a request; otherwise it is a response.
func (m *Message) IsRequest() bool { return m.request }

// Method returns the method of a request, and Unknown for extension methods
// and responses.
func (m *Message) Method() Method { return m.method }

// MethodBytes returns the method of a request as written.
func (m *Message) MethodBytes() []byte { return m.methodText.of(m.b) }

// RequestURI returns the Request-URI of a request.
func (m *Message) RequestURI() []byte { return m.uri.of(m.b) }

// Status returns the status of a response, 100 to 699, and 0 for a request.
func (m *Message) Status() int { return m.status }

// Reason returns the reason phrase of a response.
func (m *Message) Reason() []byte { return m.reason.of(m.b) }

// CallID returns the Call-ID.
func (m *Message) CallID() []byte { return m.callID.of(m.b) }

// CSeq returns the sequence number.
func (m *Message) CSeq() uint32 { return m.cseq }

// CSeqMethod returns the method in CSeq: of a response, what it answers.
func (m *Message) CSeqMethod() Method { return m.cseqMethod }

// CSeqMethodBytes returns the method in CSeq as written.
func (m *Message) CSeqMethodBytes() []byte { return m.cseqText.of(m.b) }

// FromTag returns the tag of From, empty when there is none.
func (m *Message) FromTag() []byte { return m.fromTag.of(m.b) }

// ToTag returns the tag of To, empty when there is none.
func (m *Message) ToTag() []byte { return m.toTag.of(m.b) }

// MaxForwards returns the number of hops left, 0 to MaxHops. ok is false when
// the field is missing.
func (m *Message) MaxForwards() (n int, ok bool) {
	if m.maxForwards < 0 {
		return 0, false
	}
	return m.maxForwards, true
}

// Expires returns the Expires field in seconds. One beyond 32 bits is the
// largest there is. ok is false when the field is missing or malformed (RFC
// 3261 §20.19 lets a malformed one count as missing).
func (m *Message) Expires() (seconds uint32, ok bool) {
	v, ok := m.Get(Expires)
	if !ok {
		return 0, false
	}
	seconds, _, ok = number(v.Bytes())
	return seconds, ok
}

// ContentLength returns the Content-Length field. ok is false when it is
// missing; the body then reaches to the end of the datagram (RFC 3261 §18.3).
func (m *Message) ContentLength() (n int, ok bool) {
	if m.contentLength < 0 {
		return 0, false
	}
	return m.contentLength, true
}

// Body returns the body.
func (m *Message) Body() []byte { return m.b[m.headEnd:] }
