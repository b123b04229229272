package sip

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"bellhop/feed"
)

const typeSDP = "application/sdp"

// maxLadder is how many messages a ladder has at most: a call of hours with
// session timers has some hundred.
const maxLadder = 500

// Ladder returns the SIP messages of a call that are still kept, oldest first,
// without secrets. Those of the legs of an anchored call are known by its id in
// their Call-ID.
func (s *Server) Ladder(c *feed.Call) []feed.Message {
	of := []string{c.CallID}
	if c.Anchored != "" {
		of = append(of, c.ID)
	}
	kept := s.ladder.Find(of, maxLadder)
	out := make([]feed.Message, 0, len(kept))
	for _, m := range kept {
		text := redact(m.Content)
		first, _, _ := strings.Cut(text, "\r\n")
		out = append(out, feed.Message{
			At: m.At, Sent: m.Sent, Transport: m.Flow.Transport.String(), Local: m.Flow.Local, Remote: m.Flow.Remote, First: first, Text: text,
		})
	}
	return out
}

// redact returns a message without what opens something: digests, keys of media
// (RFC 4568, ICE), and every body that is no session description, since INFO may
// carry the digits of a PIN and MESSAGE what people write.
func redact(b []byte) string {
	head, body, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	var out strings.Builder
	sdp, mediaType, removed := false, "", false
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') { // folded: goes with its field
			if !removed {
				write(&out, line)
			}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		name, value = bytes.TrimSpace(name), bytes.TrimSpace(value)
		if bytes.EqualFold(name, []byte("Content-Type")) || bytes.EqualFold(name, []byte("c")) {
			mediaType = string(value)
			sdp = len(value) >= len(typeSDP) && bytes.EqualFold(value[:len(typeSDP)], []byte(typeSDP))
		}
		if removed = isCredentials(name); removed {
			line = fmt.Appendf(nil, "%s: %s", name, bytes.TrimSpace(append(bytes.Clone(scheme(value)), " (removed)"...)))
		}
		write(&out, line)
	}
	out.WriteString("\r\n")
	switch {
	case len(body) == 0:
	case !sdp:
		out.WriteString("(" + strconv.Itoa(len(body)) + " bytes of " + mediaType + " removed)\r\n")
	default:
		for line := range bytes.SplitSeq(bytes.TrimSuffix(body, []byte("\r\n")), []byte("\r\n")) {
			write(&out, withoutKeys(line))
		}
	}
	return strings.ToValidUTF8(out.String(), "\uFFFD")
}

func write(out *strings.Builder, line []byte) {
	out.Write(line)
	out.WriteString("\r\n")
}

func isCredentials(name []byte) bool {
	return bytes.EqualFold(name, []byte("Authorization")) || bytes.EqualFold(name, []byte("Proxy-Authorization"))
}

// scheme is the first word of credentials.
func scheme(value []byte) []byte {
	word, _, _ := bytes.Cut(value, []byte(" "))
	return word
}

// withoutKeys takes the key out of a line of a session description.
func withoutKeys(line []byte) []byte {
	for _, prefix := range [...]string{"a=crypto:", "a=ice-pwd:", "a=ice-ufrag:", "k="} {
		if bytes.HasPrefix(bytes.ToLower(line), []byte(prefix)) {
			return []byte(prefix + " (removed)")
		}
	}
	return line
}
