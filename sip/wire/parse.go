package wire

import "bytes"

// Parse reads b, which the message then borrows. Its error is nil or a
// *[ParseError]. After an error what could be read stays readable: see
// [Message.Answerable].
//
// b is one datagram or one frame. Empty lines before the start line are passed
// over, so are bytes behind the body that Content-Length announces (RFC 3261
// §18.3). A line of the header ends in CRLF (§7); CR or LF alone, and NUL that
// no backslash quotes, are refused, since others may read the message
// differently: as one line more, or one less.
func (m *Message) Parse(b []byte) error {
	m.index(b)
	m.frame()
	if m.err != nil {
		return m.err
	}
	return nil
}

// ParseStream reads the first message from b, what came from a stream and was
// not yet read. It returns how many bytes the message took, empty lines before
// it included; 0 and no error when more must come. A stream needs
// Content-Length (RFC 3261 §20.14). An error with n = 0 means that nobody knows
// where the next message begins: the connection is lost. An error with n > 0
// concerns this message only, as from [Message.Parse].
func (m *Message) ParseStream(b []byte) (n int, err error) {
	text := trimLines(b)
	skipped := len(b) - len(text)
	text = text[:min(len(text), MaxMessage)]
	m.index(text)
	size, ok := m.size()
	switch {
	case !m.headed && len(text) < MaxMessage, ok && size <= MaxMessage && size > len(text):
		return 0, nil
	case !m.headed, ok && size > MaxMessage:
		m.err = &ParseError{Status: 513, Reason: "Message Too Large"}
		return 0, m.err
	case !ok:
		m.fail(400, "Missing Content-Length")
		return 0, m.err
	}
	m.frame()
	if m.err != nil {
		return skipped + size, m.err
	}
	return skipped + size, nil
}

// StreamSize returns how many bytes the message takes that [Message.ParseStream]
// found incomplete, from its start line on, and 0 when its header is not there
// yet: before so many have come there is no use in parsing again.
func (m *Message) StreamSize() int {
	if !m.headed || m.first[ContentLength] == 0 {
		return 0
	}
	n, _ := m.size()
	return n
}

// size returns how long the message is. ok is false when nothing says so, or
// when what says so is doubtful.
func (m *Message) size() (n int, ok bool) {
	value, ok := m.single(ContentLength)
	if !ok || !m.headed || m.lines[m.first[ContentLength]-1].next != 0 {
		return 0, false
	}
	length, _, ok := number(value)
	if !ok {
		m.fail(400, malformed[ContentLength])
	}
	return int(m.headEnd) + int(length), ok
}

// trimLines cuts the empty lines before a message (RFC 3261 §7.5).
func trimLines(b []byte) []byte {
	for len(b) > 0 && (b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// index reads the start line and the header of b.
func (m *Message) index(b []byte) {
	lines := m.lines[:0]
	*m = Message{maxForwards: -1, contentLength: -1}
	m.lines = lines
	b = trimLines(b)
	if len(b) > MaxMessage {
		m.fail(513, "Message Too Large")
		b = b[:MaxMessage]
	}
	m.b = b
	pos := m.parseStart()
	m.startEnd = uint16(pos)
	m.parseLines(pos)
	m.parseFields()
}

// fail notes the first thing that is wrong.
func (m *Message) fail(status int, reason string) {
	if m.err == nil {
		m.err = &ParseError{Status: status, Reason: reason}
	}
}

// parseStart reads the start line and returns where the next line begins.
func (m *Message) parseStart() (next int) {
	text, next := m.b, len(m.b)
	if i := bytes.IndexByte(m.b, '\n'); i >= 0 {
		next = i + 1
		text = m.b[:i]
		if i > 0 && text[i-1] == '\r' {
			text = text[:i-1]
		}
	}
	if len(text) >= 4 && fold(text[:4], "SIP/") {
		m.parseStatusLine(text)
	} else {
		m.request = true
		m.parseRequestLine(text)
	}
	return next
}

// parseRequestLine reads method SP Request-URI SP SIP-Version (RFC 3261 §7.1).
// One blank each: RFC 4475 §3.1.2.8 to §3.1.2.10.
func (m *Message) parseRequestLine(text []byte) {
	i := skip(text, 0, clsToken)
	m.methodText = span(0, i)
	m.method = ParseMethod(text[:i])
	if i == 0 || i == len(text) || text[i] != ' ' {
		m.fail(400, "Malformed Request-Line")
		return
	}
	i++
	size := bytes.IndexByte(text[i:], ' ')
	if size < 0 {
		m.fail(400, "Malformed Request-Line")
		return
	}
	m.uri = span(i, i+size)
	uri := m.uri.of(text)
	m.checkVersion(text[i+size+1:])
	if size > MaxRequestURI {
		m.fail(414, "Request-URI Too Long")
		return
	}
	u, ok := ParseURI(uri)
	if !ok || len(u.Host) > 0 && len(u.Headers) > 0 { // RFC 4475 §3.1.2.11
		m.fail(400, "Malformed Request-URI")
	}
}

// checkVersion refuses all versions but SIP/2.0 (RFC 3261 §7.1).
func (m *Message) checkVersion(b []byte) {
	if fold(b, "SIP/2.0") {
		return
	}
	if len(b) > 4 && fold(b[:4], "SIP/") {
		i := skip(b, 4, clsDigit)
		if i > 4 && i+1 < len(b) && b[i] == '.' && skip(b, i+1, clsDigit) == len(b) {
			m.fail(505, "Version Not Supported")
			return
		}
	}
	m.fail(400, "Malformed Request-Line")
}

// parseStatusLine reads SIP-Version SP Status-Code SP Reason-Phrase. The
// second blank may be missing with the phrase.
func (m *Message) parseStatusLine(text []byte) {
	i := bytes.IndexByte(text, ' ')
	if i < 0 {
		m.fail(400, "Malformed Status-Line")
		return
	}
	m.checkVersion(text[:i])
	i++
	end := skip(text, i, clsDigit)
	n, _, _ := number(text[i:end])
	if end != i+3 || n < 100 || n > 699 || end < len(text) && text[end] != ' ' {
		m.fail(400, "Malformed Status-Line") // RFC 4475 §3.1.2.19
		return
	}
	m.status = int(n)
	m.reason = span(min(end+1, len(text)), len(text))
}

// parseLines indexes the header lines from pos on.
func (m *Message) parseLines(pos int) {
	b := m.b
	var last [fieldCount]uint8
	lines, ends := 1, 0 // LFs, and CRLFs
	if pos >= 2 && b[pos-2] == '\r' {
		ends++
	}
	for {
		start := pos
		i := bytes.IndexByte(b[pos:], '\n')
		if i < 0 {
			m.fail(400, "Header Without End")
			m.headEnd = uint16(len(b))
			break
		}
		pos += i + 1
		lines++
		if i > 0 && b[pos-2] == '\r' {
			ends++
			i--
		}
		if i == 0 { // the empty line
			m.headEnd = uint16(pos)
			m.headed = true
			break
		}
		// The lines that continue this one (RFC 3261 §7.3.1).
		for pos < len(b) && (b[pos] == ' ' || b[pos] == '\t') {
			i = bytes.IndexByte(b[pos:], '\n')
			if i < 0 {
				break // found out above
			}
			pos += i + 1
			lines++
			if b[pos-2] == '\r' {
				ends++
			}
		}
		m.addLine(start, pos, &last)
	}
	if ends != lines {
		m.fail(400, "LF Without CR")
	}
	m.checkControls(ends)
}

// addLine indexes the header line at [start, end), continuations included.
func (m *Message) addLine(start, end int, last *[fieldCount]uint8) {
	text := m.b[start:end]
	colon := bytes.IndexByte(text, ':')
	if colon < 0 {
		m.fail(400, "Malformed Header Line")
		return
	}
	if len(m.lines) == MaxLines {
		m.fail(400, "Too Many Header Lines")
		return
	}
	size := colon
	for size > 0 && (text[size-1] == ' ' || text[size-1] == '\t') { // HCOLON
		size--
	}
	f := ParseField(text[:size])
	if f == Other && !isToken(text[:size]) {
		m.fail(400, "Malformed Header Line")
		return
	}
	value, valueEnd := colon+1, len(text)
	for valueEnd > value && class[text[valueEnd-1]]&clsBlank != 0 {
		valueEnd--
	}
	value = min(skip(text, value, clsBlank), valueEnd)
	m.lines = append(m.lines, line{
		start: uint16(start), end: uint16(end), nameLen: uint16(size),
		value: uint16(start + value), valueEnd: uint16(start + valueEnd), field: f,
	})
	n := uint8(len(m.lines))
	if last[f] == 0 {
		m.first[f] = n
	} else {
		m.lines[last[f]-1].next = n
	}
	last[f] = n
}

// checkControls refuses, in the header, CRs outside line ends and NULs that
// are not quoted by a backslash (which RFC 4475 §3.1.1.2 has).
func (m *Message) checkControls(ends int) {
	head := m.b[:m.headEnd]
	if bytes.Count(head, []byte{'\r'}) != ends {
		m.fail(400, "CR Without LF")
	}
	for i := bytes.IndexByte(head, 0); i >= 0; {
		if i == 0 || head[i-1] != '\\' {
			m.fail(400, "NUL in Header")
			return
		}
		next := bytes.IndexByte(head[i+1:], 0)
		if next < 0 {
			return
		}
		i += next + 1
	}
}

// single returns the value of a field that must be there once at most.
func (m *Message) single(f Field) (value []byte, ok bool) {
	n := m.first[f]
	if n == 0 {
		return nil, false
	}
	ln := &m.lines[n-1]
	if ln.next != 0 {
		m.fail(400, doubled[f])
	}
	return m.b[ln.value:ln.valueEnd], true
}

// Reasons by field; constants, so that refusing costs little.
var (
	doubled = [fieldCount]string{
		From: "Multiple From", To: "Multiple To", CallID: "Multiple Call-ID", CSeq: "Multiple CSeq",
		MaxForwards: "Multiple Max-Forwards", ContentLength: "Multiple Content-Length",
	}
	missing = [fieldCount]string{
		Via: "Missing Via", From: "Missing From", To: "Missing To", CallID: "Missing Call-ID", CSeq: "Missing CSeq",
	}
	malformed = [fieldCount]string{
		Via: "Malformed Via", From: "Malformed From", To: "Malformed To", CallID: "Malformed Call-ID",
		CSeq: "Malformed CSeq", MaxForwards: "Malformed Max-Forwards", ContentLength: "Malformed Content-Length",
	}
)

// parseFields reads the fields every message must have (RFC 3261 §8.1.1), and
// the few a relay always asks for. A missing Max-Forwards is tolerated, as
// from RFC 2543 elements (RFC 4475 §3.4.1).
func (m *Message) parseFields() {
	if n := m.first[Via]; n != 0 {
		ln := &m.lines[n-1]
		if _, ok := m.hop.parse(m.b, int(ln.value), int(ln.valueEnd)); !ok {
			m.fail(400, malformed[Via])
		}
	} else {
		m.fail(400, missing[Via])
	}
	m.fromTag = m.parseTag(From)
	m.toTag = m.parseTag(To)
	m.parseCallID()
	m.parseCSeq()
	if value, ok := m.single(MaxForwards); ok {
		n, _, ok := number(value)
		if !ok || n > MaxHops {
			m.fail(400, malformed[MaxForwards])
		} else {
			m.maxForwards = int(n)
		}
	}
}

// parseTag reads From or To and returns its tag.
func (m *Message) parseTag(f Field) Span {
	value, ok := m.single(f)
	if !ok {
		m.fail(400, missing[f])
		return Span{}
	}
	_, tag, ok := parseNameAddr(value)
	if !ok {
		m.fail(400, malformed[f])
		return Span{}
	}
	if len(tag) == 0 {
		return Span{}
	}
	if len(tag) > MaxToken || tag[0] == '"' {
		m.fail(400, malformed[f])
	}
	off := offsetIn(m.b, tag)
	return span(off, off+len(tag))
}

func (m *Message) parseCallID() {
	value, ok := m.single(CallID)
	if !ok {
		m.fail(400, missing[CallID])
		return
	}
	// word ["@" word]: no blanks; what else it holds is only compared.
	if len(value) == 0 || len(value) > MaxToken || bytes.IndexByte(value, ' ') >= 0 || bytes.IndexByte(value, '\t') >= 0 {
		m.fail(400, malformed[CallID])
		if len(value) > MaxToken {
			return
		}
	}
	ln := &m.lines[m.first[CallID]-1]
	m.callID = span(int(ln.value), int(ln.valueEnd))
}

func (m *Message) parseCSeq() {
	value, ok := m.single(CSeq)
	if !ok {
		m.fail(400, missing[CSeq])
		return
	}
	digits := skip(value, 0, clsDigit)
	i := skip(value, digits, clsBlank)
	n, big, ok := number(value[:digits])
	name := value[i:]
	if !ok || big || i == digits || !isToken(name) {
		m.fail(400, malformed[CSeq]) // RFC 4475 §3.1.2.4: the number must fit 32 bits
	}
	m.cseq = n
	from := int(m.lines[m.first[CSeq]-1].value) + i
	m.cseqText = span(from, from+len(name))
	m.cseqMethod = ParseMethod(name)
	if m.request && !bytes.Equal(name, m.MethodBytes()) { // RFC 3261 §8.1.1.5
		m.fail(400, "CSeq Does Not Match Method")
	}
}

// frame finds the body (RFC 3261 §18.3, §20.14).
func (m *Message) frame() {
	value, ok := m.single(ContentLength)
	if !ok {
		return
	}
	n, _, ok := number(value)
	switch {
	case !ok:
		m.fail(400, malformed[ContentLength])
	case int(n) > len(m.b)-int(m.headEnd):
		m.fail(400, "Body Shorter Than Content-Length")
	default:
		m.contentLength = int(n)
		m.b = m.b[:int(m.headEnd)+int(n)]
	}
}
