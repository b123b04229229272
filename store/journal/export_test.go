package journal

import (
	"context"
	"os"

	"bellhop/feed"
)

// EncodeCall shows the form of a call to tests.
func EncodeCall(c *feed.Call) []byte { return appendCall(nil, c) }

// DecodeCall shows the form of a call to tests.
func DecodeCall(b []byte) (*feed.Call, error) { return decodeCall(b, segmentFormat) }

// Break makes writes to the file of j fail.
func Break(j *Journal) error {
	s := j.segments[len(j.segments)-1]
	f, err := os.Open(s.path) // to be read only
	if err != nil {
		return err
	}
	was := s.file
	s.file = f
	return was.Close()
}

// Mend does what Run does each second when writes failed.
func Mend(j *Journal) { j.mend(context.Background()) }

// EncodeCall1 is EncodeCall in the form of format 1, for a call without legs.
func EncodeCall1(c *feed.Call) []byte { b := EncodeCall2(c); return b[:len(b)-2] }

// EncodeCall2 is EncodeCall in the form of format 2, for a story that does not
// say who may read it.
func EncodeCall2(c *feed.Call) []byte { b := EncodeCall3(c); return b[:len(b)-2*len(c.Story)] }

// EncodeCall3 is EncodeCall in the form of format 3, for legs that do not say who
// sent them out.
func EncodeCall3(c *feed.Call) []byte { b := EncodeCall4(c); return b[:len(b)-2*len(c.Legs)] }

// EncodeCall4 is EncodeCall in the form of format 4, for dialogs that do not say
// where their ends are at home.
func EncodeCall4(c *feed.Call) []byte {
	b := EncodeCall5(c)
	return b[:len(b)-len(appendHomes(nil, c))]
}

// EncodeCall5 is EncodeCall in the form of format 5, for a call that is no
// emergency call.
func EncodeCall5(c *feed.Call) []byte {
	b := appendCall(nil, c)
	return b[:len(b)-len(appendEmergency(nil, c))]
}

// DecodeCall5 is DecodeCall in the form of format 5.
func DecodeCall5(b []byte) (*feed.Call, error) { return decodeCall(b, 5) }

// DecodeCall4 is DecodeCall in the form of format 4.
func DecodeCall4(b []byte) (*feed.Call, error) { return decodeCall(b, 4) }

// DecodeCall3 is DecodeCall in the form of format 3.
func DecodeCall3(b []byte) (*feed.Call, error) { return decodeCall(b, 3) }

// DecodeCall2 is DecodeCall in the form of format 2.
func DecodeCall2(b []byte) (*feed.Call, error) { return decodeCall(b, 2) }

// DecodeCall1 is DecodeCall in the form of format 1.
func DecodeCall1(b []byte) (*feed.Call, error) { return decodeCall(b, 1) }
