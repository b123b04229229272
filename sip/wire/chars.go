package wire

// Classes of bytes (RFC 3261 §25.1).
const (
	clsToken  uint16 = 1 << iota // token
	clsBlank                     // SP, HTAB, and CR, LF of a folded line
	clsHost                      // hostname, IPv4address, IPv6reference; "_" is tolerated
	clsScheme                    // scheme after its first letter
	clsURI                       // what may stand in any URI; bytes above 127 are tolerated
	clsDigit
	clsAlpha
	clsName  // ends a parameter's name
	clsValue // ends a parameter's value that is not quoted
)

var class = classes()

func classes() (t [256]uint16) {
	set := func(cls uint16, chars string) {
		for _, c := range []byte(chars) {
			t[c] |= cls
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		set(clsToken|clsHost|clsScheme|clsAlpha, string(c)+string(c-32))
	}
	set(clsToken|clsHost|clsScheme|clsDigit, "0123456789")
	set(clsToken, "-.!%*_+`'~")
	set(clsBlank, " \t\r\n")
	set(clsName, "=;,\" \t\r\n")
	set(clsValue, ";,\" \t\r\n")
	set(clsHost, "-._")
	set(clsScheme, "+-.")
	for c := 0x21; c < 256; c++ {
		t[c] |= clsURI
	}
	for _, c := range []byte("<>\"\\^`{|}\x7f") {
		t[c] &^= clsURI
	}
	return t
}

// skip returns the first place at or after i whose byte is not of the class.
func skip(b []byte, i int, cls uint16) int {
	for i < len(b) && class[b[i]]&cls != 0 {
		i++
	}
	return i
}

// until returns the first place at or after i whose byte is of the class.
func until(b []byte, i int, cls uint16) int {
	for i < len(b) && class[b[i]]&cls == 0 {
		i++
	}
	return i
}

// trim cuts blanks at both ends.
func trim(b []byte) []byte {
	i, j := 0, len(b)
	for i < j && class[b[i]]&clsBlank != 0 {
		i++
	}
	for j > i && class[b[j-1]]&clsBlank != 0 {
		j--
	}
	return b[i:j]
}

func lower(c byte) byte {
	if c-'A' < 26 {
		return c | 0x20
	}
	return c
}

// fold reports whether a and b are equal but for the case of ASCII letters.
func fold[A, B []byte | string](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	if string(a) == string(b) { // nearly always
		return true
	}
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// isToken reports whether b is a token (RFC 3261 §25.1).
func isToken(b []byte) bool { return len(b) > 0 && skip(b, 0, clsToken) == len(b) }

// quotedEnd returns the place after the closing quote of the quoted-string
// that begins at b[i], or -1 when there is none.
func quotedEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// number reads b as a decimal number that fits 32 bits. ok is false when b is
// empty or has anything but digits; big is true when it does not fit.
func number(b []byte) (n uint32, big, ok bool) {
	if len(b) == 0 {
		return 0, false, false
	}
	var sum uint64
	for _, c := range b {
		if c-'0' > 9 {
			return 0, false, false
		}
		sum = sum*10 + uint64(c-'0')
		if sum > 1<<32-1 {
			big, sum = true, 1<<32-1
		}
	}
	return uint32(sum), big, true
}
