package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"bellhop/routing/directory"
)

// Limits of a JSON body: what is deeper or has a field twice is refused before
// anything is decoded from it.
const (
	maxDepth = 24
	maxBody  = 64 << 10
)

// checkJSON refuses JSON that is not one value, is deeper than [maxDepth], or
// names a field twice: two readers could take it for two different things.
func checkJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := checkValue(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badJSON("$", "there is more than one value")
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) error {
	if depth > maxDepth {
		return badJSON("$", fmt.Sprintf("it is nested deeper than %d", maxDepth))
	}
	tok, err := dec.Token()
	if err != nil {
		return badJSON("$", "it is not JSON: "+jsonWords(err))
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if delim == '{' {
			key, err := dec.Token()
			if err != nil {
				return badJSON("$", "it is not JSON: "+jsonWords(err))
			}
			name, _ := key.(string)
			if seen[name] {
				return badJSON(name, "the field is there twice")
			}
			seen[name] = true
		}
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing delimiter
		return badJSON("$", "it is not JSON: "+jsonWords(err))
	}
	return nil
}

// jsonWords says where JSON is broken without repeating what was sent.
func jsonWords(err error) string {
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("syntax error at byte %d", se.Offset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	return err.Error()
}

func badJSON(location, message string) error {
	p := problem(400, "body.json", "the body cannot be read: %s", message)
	p.Errors = []directory.Fault{{Location: location, Message: message, Rule: "body.json"}}
	return p
}

// decodeStrict decodes b, which [checkJSON] passed, into v and names the field
// that has the wrong type or is not known.
func decodeStrict(b []byte, v any) error {
	if err := checkJSON(b); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		return nil
	}
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		loc := te.Field
		if loc == "" {
			loc = "$"
		}
		return invalid(directory.Fault{Location: loc, Message: fmt.Sprintf("a %s cannot be a %s", te.Value, te.Type), Rule: "body.type"})
	}
	return invalid(directory.Fault{Location: "$", Message: err.Error(), Rule: "body.field"})
}

// mergePatch applies patch to target (RFC 7396): null removes, an object merges,
// anything else replaces. Both are JSON values as [decodeAny] reads them; target
// may be changed.
func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = make(map[string]any, len(p))
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
			continue
		}
		t[k] = mergePatch(t[k], v)
	}
	return t
}

// decodeAny reads any JSON value; numbers keep their text.
func decodeAny(b []byte) (any, error) {
	if err := checkJSON(b); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, badJSON("$", jsonWords(err))
	}
	return v, nil
}

// decodeObject reads a JSON object.
func decodeObject(b []byte) (map[string]any, error) {
	v, err := decodeAny(b)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, badJSON("$", "an object is expected")
	}
	return m, nil
}
