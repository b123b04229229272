package journal

import "bellhop/feed"

// EncodeCall shows the form of a call to tests.
func EncodeCall(c *feed.Call) []byte { return appendCall(nil, c) }

// DecodeCall shows the form of a call to tests.
func DecodeCall(b []byte) (*feed.Call, error) { return decodeCall(b) }
