package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A Fault is one thing wrong with a configuration.
type Fault struct {
	Line    int    // in the file, from 1; 0 when it is about no line
	Path    string // "sip.listeners[0].bind"; "" when it is about the whole file
	Message string
}

// An Error is a configuration that cannot be used: everything that is wrong
// with it, in the order of the file.
type Error struct {
	File   string
	Faults []Fault
}

// Error implements error: one line a fault, "file:line: path: message".
func (e *Error) Error() string {
	var b strings.Builder
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.File)
		if f.Line > 0 {
			b.WriteString(":" + strconv.Itoa(f.Line))
		}
		if f.Path != "" {
			b.WriteString(": " + f.Path)
		}
		b.WriteString(": " + f.Message)
	}
	return b.String()
}

// failed returns the error of faults, nil when there are none.
func failed(file string, faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{File: file, Faults: faults}
}
