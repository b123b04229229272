// Command bellhop is a SIP call-control daemon that follows people, not phones,
// and its tools: it serves, checks a configuration, explains calls, manages
// users and shows itself in a demo.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	_ "time/tzdata" // time zones of users, also where the system has none

	"github.com/alecthomas/kong"

	"bellhop/config"
)

func main() {
	std := stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv}
	os.Exit(run(context.Background(), std, os.Args[1:]))
}

// stdio is what a command has of the process around it.
type stdio struct {
	in       io.Reader
	out, err io.Writer
	env      config.Lookup
}

// say writes a line for people, beside what the command prints.
func (s stdio) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.err, format+"\n", args...) // nobody to tell
}

// commands is the command line.
type commands struct {
	Serve   serveCmd   `cmd:"" help:"Run the daemon."`
	Check   checkCmd   `cmd:"" help:"Check a configuration file and report everything that is wrong with it."`
	Explain explainCmd `cmd:"" help:"Say what a call would do, and why."`
	User    userCmd    `cmd:"" help:"List, add, change and remove users."`
	Import  importCmd  `cmd:"" help:"Import users, numbers and devices from a CSV file."`
	Demo    demoCmd    `cmd:"" help:"Run a house of five people with phones to try."`
	Backup  backupCmd  `cmd:"" help:"Copy the database; the daemon may run."`
	Restore restoreCmd `cmd:"" help:"Put a copy in place of the database; the daemon must not run."`
	Move    moveCmd    `cmd:"" help:"Copy a SQLite database into an empty PostgreSQL; the daemons must not run."`
	Keys    keysCmd    `cmd:"" help:"Make a key ring, for nodes that share a PostgreSQL."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// An exited ends parsing when help was printed.
type exited int

// run runs one command line and returns the exit status.
func run(ctx context.Context, std stdio, args []string) (status int) {
	defer func() {
		if e, ok := recover().(exited); ok { // kong's way to say that help is all that was wanted
			status = int(e)
		}
	}()
	var cli commands
	parser, err := kong.New(&cli,
		kong.Name("bellhop"),
		kong.Description("A SIP call-control daemon that follows people, not phones.\n\nTry it: bellhop demo"),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: false}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	if err != nil {
		panic(err) // a mistake in the tags above
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	line, err := parser.Parse(args)
	if err != nil {
		std.say("bellhop: %v\nbellhop --help tells more.", err)
		return exitUsage
	}
	if err := line.Run(); err != nil {
		if !errors.Is(err, errSaid) {
			std.say("bellhop: %v", err)
		}
		return exitFailed
	}
	return exitOK
}

// errSaid fails a command that has said why.
var errSaid = errors.New("bellhop: failed, as said")
