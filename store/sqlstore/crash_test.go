package sqlstore_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// crashDir names the folder of the store in the environment of the process
// that is going to be killed.
const crashDir = "BELLHOP_TEST_CRASH_DIR"

// crashURL names its database there; "": SQLite in the folder.
const crashURL = "BELLHOP_TEST_CRASH_URL"

// crashKills asks for a number of kills, however long they take: see make crash.
const crashKills = "BELLHOP_TEST_CRASH_KILLS"

// TestCrash kills a process at any moment, again and again on one store, and
// finds everything there that the process had acknowledged: bindings, their
// removal, settings, live calls and the ends of calls (trust.md §3).
func TestCrash(t *testing.T) {
	if os.Getenv(crashDir) != "" {
		t.Skip("this is the process that is killed")
	}
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"SQLite":     func(*testing.T) string { return "" },
		"PostgreSQL": func(t *testing.T) string { t.Helper(); return server(t).Schema(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crash(t, url(t))
		})
	}
}

// crashed are the options of the store that is killed over and over.
func crashed(dir, url string) sqlstore.Options {
	if url == "" {
		return in(dir)
	}
	return at(url, dir, 1)
}

func crash(t *testing.T, url string) {
	t.Helper()
	dir := t.TempDir()
	s := open(t, crashed(dir, url))
	storetest.Provision(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	budget := 12 * time.Second
	if testing.Short() {
		budget = 2 * time.Second
	} else if url != "" {
		budget = 5 * time.Second
	}
	wanted, err := strconv.Atoi(cmp.Or(os.Getenv(crashKills), "0"))
	if err != nil {
		t.Fatal(err)
	}
	start, kills, acks := time.Now(), 0, 0
	for ; kills < wanted || wanted == 0 && time.Since(start) < budget; kills++ {
		said := killed(t, dir, url, 1+rand.IntN(150))
		s, err := sqlstore.New(t.Context(), crashed(dir, url))
		if err != nil {
			t.Fatalf("after kill %d: %v", kills, err)
		}
		for _, line := range said {
			if !kept(t, s, line) {
				t.Errorf("after kill %d: lost %q", kills, line)
			}
		}
		acks += len(said)
		for _, c := range s.Calls.Live("") { // so that the next round does not find them
			if err := s.Calls.Ended(c); err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d acknowledgements, %d kills", acks, kills)
}

// killed runs the process on dir, kills it after n acknowledgements, and returns
// all that it had acknowledged.
func killed(t *testing.T, dir, url string, n int) (said []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashed$", "-test.v=false")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashURL+"="+url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // what is cut was not acknowledged
			break
		}
		if said = append(said, strings.TrimSpace(line)); len(said) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	return said
}

// kept reports whether the store has what a line says.
func kept(t *testing.T, s *sqlstore.Store, line string) bool {
	t.Helper()
	what, arg, _ := strings.Cut(line, " ")
	switch what {
	case "registered":
		return len(s.Bindings.Bindings(storetest.AOR(t, arg))) == 1
	case "removed":
		return len(s.Bindings.Bindings(storetest.AOR(t, arg))) == 0
	case "saved":
		docs, _, err := s.History(t.Context(), storetest.Ref(directory.KindNumber, "1003"), 1000, "")
		for _, d := range docs {
			if string(d.Body) == `{"label":"`+arg+`"}` {
				return err == nil
			}
		}
		return false
	case "answered":
		_, ok := s.Calls.ByID(arg)
		if !ok { // its end may have been written, too
			_, err := s.Record(t.Context(), storetest.Domain, arg)
			ok = err == nil
		}
		return ok
	case "ended":
		_, live := s.Calls.ByID(arg)
		_, err := s.Record(t.Context(), storetest.Domain, arg)
		return !live && err == nil
	default:
		t.Fatalf("the process said %q", line)
		return false
	}
}

// TestCrashed is the process that is killed: it does what is to be kept, says
// so, and never ends by itself.
func TestCrashed(t *testing.T) { //nolint:paralleltest // a process of its own
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("run by TestCrash")
	}
	s, err := sqlstore.New(t.Context(), crashed(dir, os.Getenv(crashURL)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // should nobody kill it
	defer cancel()
	var mu sync.Mutex
	say := func(what, arg string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(os.Stdout, "%s %s\n", what, arg)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	base := time.Now().UnixNano() // AORs and labels of this run
	for w := range 2 {
		wg.Go(func() {
			for n := base + int64(w); ctx.Err() == nil; n += 2 {
				crashRegister(ctx, t, s, strconv.FormatInt(n, 10), n%4 < 2, say)
			}
		})
	}
	wg.Go(func() {
		for n := base; ctx.Err() == nil; n++ {
			label := strconv.FormatInt(n, 10)
			if _, err := s.Apply(ctx, storetest.Author(), []directory.Write{storetest.Put(directory.KindNumber, "1003", `{"label":"`+label+`"}`)}); err == nil {
				say("saved", label)
			}
		}
	})
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			crashCall(s, n%3 == 0, say)
			if n%10 == 0 { // hardly any time for the others else
				_ = s.Calls.Flush(ctx)
			}
		}
	})
	wg.Wait()
}

// crashRegister registers a new AOR, and removes it again.
func crashRegister(ctx context.Context, t *testing.T, s *sqlstore.Store, user string, remove bool, say func(what, arg string)) {
	t.Helper()
	a := storetest.AOR(t, user)
	if _, _, err := s.Bindings.Register(ctx, a, storetest.Register("desk", 5060, 1)); err != nil {
		return
	}
	if !remove {
		say("registered", user)
		return
	}
	gone := storetest.Register("desk", 5060, 2)
	gone.Expires = location.In(0)
	if _, _, err := s.Bindings.Register(ctx, a, gone); err == nil {
		say("removed", user)
	}
}

// crashCall makes a call and ends it, or leaves it.
func crashCall(s *sqlstore.Store, leave bool, say func(what, arg string)) {
	c := storetest.Call(s.Calls, "1001", "1002", "1002", time.Now())
	c.State = feed.Talking
	s.Calls.Begin(c)
	if err := s.Calls.Answered(c); err != nil {
		return
	}
	if leave {
		say("answered", c.ID)
		return
	}
	over := *c
	over.State = feed.Ended
	if err := s.Calls.Ended(&over); err == nil {
		say("ended", c.ID)
	}
}
