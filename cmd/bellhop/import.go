package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

type importCmd struct {
	apiFlags
	Domain  string `placeholder:"DOMAIN" help:"Domain to import into (default: that of the demo)."`
	File    string `arg:"" help:"CSV file; - is standard input."`
	DryRun  bool   `help:"Say what would happen; change nothing."`
	Secrets string `placeholder:"FILE" help:"Make a secret for each new device and write them to this new file."`
}

// Help is printed by import --help.
func (importCmd) Help() string {
	return `Imports users, numbers and devices: all rows or none. The first row names the columns:

  user, name, email, language, time_zone, password,
  number, public, label, site, state, class_of_service, forwarding_class,
  caller_id, voicemail, call_waiting, busy_trigger, ring_time,
  device, kind, mac, tls

A row has a user, a number, a device, or several of them: then the number is the
user's and a line of the device. An empty cell leaves what is there. Example:

  user,name,number,device,kind
  ana,Ana Alba,1001,desk-1001,desk

  bellhop import --domain example.com --dry-run people.csv`
}

// importLine is a line of the answer: one of its fields is set.
type importLine struct {
	Progress *struct {
		Phase string
		Done  int
		Of    int
	}
	Problem *problem
	Result  *imported
}

// imported is the result of an import.
type imported struct {
	Rows []struct {
		Line       int
		Status     string
		Credential *struct{ Username, Secret string }
		Errors     []struct{ Location, Message, Rule string }
	}
	Created, Updated, Unchanged, Refused int
}

// Run sends the file and shows how far it is.
func (c importCmd) Run(ctx context.Context, std stdio) (err error) {
	api, err := c.client(std)
	if err != nil {
		return err
	}
	domain, err := api.orDemo(c.Domain)
	if err != nil {
		return err
	}
	file, err := c.read(std)
	if err != nil {
		return err
	}
	query := url.Values{}
	if c.DryRun {
		query.Set("dry_run", "1")
	}
	var secrets *os.File
	if c.Secrets != "" && !c.DryRun {
		if secrets, err = os.OpenFile(c.Secrets, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return err // before anything is made that could not be shown
		}
		defer func() { err = errors.Join(err, secrets.Close()) }()
		query.Set("credentials", "1")
	}
	begin := time.Now()
	done, err := c.send(ctx, std, api, inDomain(domain, "import")+"?"+query.Encode(), file)
	if err != nil {
		return err
	}
	for _, row := range done.Rows {
		for _, f := range row.Errors {
			std.say("  line %d: %s: %s (%s)", row.Line, f.Location, f.Message, f.Rule)
		}
	}
	verb := "imported"
	if c.DryRun {
		verb = "would import"
	}
	_, err = fmt.Fprintf(std.out, "%s %d rows in %s: %d created, %d updated, %d unchanged, %d refused\n",
		verb, len(done.Rows), time.Since(begin).Round(100*time.Millisecond), done.Created, done.Updated, done.Unchanged, done.Refused)
	if secrets != nil {
		err = errors.Join(err, done.writeSecrets(secrets))
	}
	if done.Refused > 0 {
		return errSaid
	}
	return err
}

func (c importCmd) read(std stdio) ([]byte, error) {
	if c.File == "-" {
		return io.ReadAll(std.in)
	}
	return os.ReadFile(c.File)
}

// send sends the file and follows the lines of the answer.
func (c importCmd) send(ctx context.Context, std stdio, api *client, path string, file []byte) (*imported, error) {
	res, err := api.open(ctx, http.MethodPost, path, bytes.NewReader(file),
		"Content-Type", "text/csv", "Accept", "application/x-ndjson")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for {
		b, err := lines.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("the answer ended before the result: %w", err)
		}
		var l importLine
		if err := json.Unmarshal(b, &l); err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		switch {
		case l.Result != nil:
			return l.Result, nil
		case l.Problem != nil:
			return nil, l.Problem
		case l.Progress != nil:
			std.say("%s %d of %d", l.Progress.Phase, l.Progress.Done, l.Progress.Of)
		}
	}
}

// writeSecrets writes what devices sign in with, as CSV.
func (r *imported) writeSecrets(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"device", "secret"}) // Error has it
	for _, row := range r.Rows {
		if row.Credential != nil {
			_ = out.Write([]string{row.Credential.Username, row.Credential.Secret})
		}
	}
	out.Flush()
	return out.Error()
}
