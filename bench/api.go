package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// An api speaks to Bellhop's control API.
type api struct {
	base, token string
	http        *http.Client
}

func newAPI(base, token, ca string) (*api, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", ca)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, MaxIdleConnsPerHost: 8}
	return &api{base: base, token: token, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}}, nil
}

// do sends in, if not nil, and decodes the answer into out, if not nil.
func (a *api) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, answer)
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// answered counts the records of calls since a time that were answered and
// have ended, and those of all other calls.
func (a *api) answered(ctx context.Context, since time.Time) (answered, others int, err error) {
	type record struct {
		AnsweredAt time.Time `json:"answered_at"`
		EndedAt    time.Time `json:"ended_at"`
	}
	query := url.Values{"limit": {"500"}, "from": {since.UTC().Format(time.RFC3339Nano)}}
	for {
		var page struct {
			Items []record `json:"items"`
			Next  string   `json:"next"`
		}
		if err := a.do(ctx, http.MethodGet, "/v1/domains/"+domain+"/records?"+query.Encode(), nil, &page); err != nil {
			return 0, 0, err
		}
		for _, r := range page.Items {
			if r.AnsweredAt.IsZero() || r.EndedAt.IsZero() {
				others++
			} else {
				answered++
			}
		}
		if page.Next == "" {
			return answered, others, nil
		}
		query.Set("cursor", page.Next)
	}
}
