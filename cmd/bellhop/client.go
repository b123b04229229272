package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// apiFlags say where the API is and who asks.
type apiFlags struct {
	URL       string `env:"BELLHOP_URL" placeholder:"URL" help:"Address of the API, such as https://127.0.0.1:8443."`
	TokenFile string `env:"BELLHOP_TOKEN_FILE" placeholder:"FILE" help:"File with the token; BELLHOP_TOKEN or BELLHOP_ADMIN_TOKEN may be the token itself."`
	CA        string `name:"ca" env:"BELLHOP_CA" placeholder:"FILE" help:"Certificates (PEM) that the API's may be signed by, beside those of the system."`
	Demo      string `default:".demo" placeholder:"DIR" help:"Folder of a demo; address, token and certificate come from it when not given (${default})."`
}

// answerTimeout bounds one request.
const answerTimeout = 30 * time.Second

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 16 << 20

// A client speaks to the control API.
type client struct {
	base   *url.URL
	token  string
	domain string // of a demo, "" for none
	http   *http.Client
}

// client finds out where the API is: flags and environment come first, then a
// demo.
func (f apiFlags) client(std stdio) (*client, error) {
	demo, err := readDemo(f.Demo)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	address, token, ca := f.URL, "", f.CA
	for _, name := range []string{"BELLHOP_TOKEN", "BELLHOP_ADMIN_TOKEN"} {
		if v, ok := std.env(name); ok && token == "" {
			token = v
		}
	}
	if f.TokenFile != "" {
		b, err := os.ReadFile(f.TokenFile)
		if err != nil {
			return nil, err
		}
		token = strings.TrimSpace(string(b))
	}
	c := &client{}
	if demo != nil && (address == "" || address == demo.HTTPS) {
		address = demo.HTTPS
		c.domain = demo.Domain
		if token == "" {
			token = demo.AdminToken
		}
		if ca == "" {
			ca = filepath.Join(f.Demo, "cert.pem")
		}
	}
	switch {
	case address == "":
		return nil, fmt.Errorf("no address of an API: give --url or BELLHOP_URL, or run it beside a demo (no %s)", filepath.Join(f.Demo, demoFile))
	case token == "":
		return nil, errors.New("no token: give --token-file or BELLHOP_TOKEN")
	}
	if c.base, err = url.Parse(address); err != nil || c.base.Host == "" {
		return nil, fmt.Errorf("%q is no address of an API; write https://host:port", address)
	}
	c.token = token
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if ca != "" {
		pool, err := roots(ca)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	c.http = &http.Client{Transport: transport}
	return c, nil
}

func roots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}

// A problem is an answer that says what is wrong (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
		Rule     string `json:"rule"`
	} `json:"errors"`
}

// Error implements error: a line for the whole and one for each field.
func (p *problem) Error() string {
	var b strings.Builder
	words := p.Detail
	if words == "" {
		words = p.Title
	}
	fmt.Fprintf(&b, "%s (%s, %d)", words, p.Type, p.Status)
	for _, e := range p.Errors {
		fmt.Fprintf(&b, "\n  %s: %s (%s)", e.Location, e.Message, e.Rule)
	}
	return b.String()
}

// do sends in, if not nil, and decodes the answer into out, if not nil.
func (c *client) do(ctx context.Context, method, path string, in, out any, header ...string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
		header = append([]string{"Content-Type", "application/json"}, header...)
	}
	res, err := c.open(ctx, method, path, body, header...)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// open sends a request and returns the answer, whose body the caller closes; an
// answer that is no success is an error, a *problem where it is one.
func (c *client) open(ctx context.Context, method, path string, body io.Reader, header ...string) (*http.Response, error) {
	ref, err := url.Parse(path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.ResolveReference(ref).String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil || res.StatusCode < http.StatusMultipleChoices {
		return res, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	p := &problem{Status: res.StatusCode, Title: res.Status}
	if json.Unmarshal(answer, p) != nil || p.Type == "" {
		return nil, fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	return nil, p
}

// inDomain returns the path of something in a domain, its parts escaped.
func inDomain(domain string, parts ...string) string {
	var b strings.Builder
	b.WriteString("/v1/domains/" + url.PathEscape(domain))
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// orDemo returns the domain that was given, or that of the demo.
func (c *client) orDemo(domain string) (string, error) {
	if domain == "" {
		domain = c.domain
	}
	if domain == "" {
		return "", errors.New("which domain? give --domain")
	}
	return domain, nil
}
