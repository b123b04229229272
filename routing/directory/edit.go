package directory

// Edit returns the body of a document after change, nil or empty for one that is
// not there yet: canonical JSON, which [Parse] takes. Errors are *[Invalid].
func Edit[T any](kind Kind, body []byte, change func(*T)) ([]byte, error) {
	if len(body) == 0 {
		body = []byte("{}")
	}
	v, err := Parse[T](kind, body)
	if err != nil {
		return nil, err
	}
	change(&v)
	if body, err = Encode(v); err != nil {
		return nil, err
	}
	_, err = Parse[T](kind, body)
	return body, err
}
