package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is what a program has printed so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// runLive runs the program. It returns where its page is, and what ends it and
// returns its exit code.
func runLive(t *testing.T, args ...string) (page string, end func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stdout, stderr, code := new(output), new(output), make(chan int, 1)
	go func() { code <- run(ctx, append([]string{"-listen", "127.0.0.1:0"}, args...), stdout, stderr) }()
	at := regexp.MustCompile(`open (http://[^ ]+) to see \d+ nodes\n`)
	waitUntil(t, func() string { return "it says where the page is, but " + stdout.String() + stderr.String() },
		func() bool { return at.MatchString(stdout.String()) })
	return at.FindStringSubmatch(stdout.String())[1], func() int {
		t.Helper()
		cancel()
		select {
		case c := <-code:
			if s := stderr.String(); s != "" {
				t.Errorf("it complained: %s", s)
			}
			return c
		case <-time.After(patience):
			t.Fatal("the program does not end")
			return 0
		}
	}
}

func TestItEndsWhenItIsToldTo(t *testing.T) {
	for _, args := range [][]string{{"-nodes", "20"}, {"-nodes", "5", "-real"}} {
		page, end := runLive(t, args...)
		answer, err := http.Get(page + "/events")
		must(t, err)
		defer answer.Body.Close()
		if code := end(); code != 0 {
			t.Errorf("%v ended with code %d", args, code)
		}
		if _, err := io.ReadAll(answer.Body); err != nil {
			t.Errorf("%v broke the stream off: %v", args, err)
		}
	}
}

func TestItSendsAFirstMessage(t *testing.T) {
	page, end := runLive(t, "-nodes", "5", "-real")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", page+"/events", nil)
	must(t, err)
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer answer.Body.Close()
	for frames := bufio.NewScanner(answer.Body); !strings.Contains(frames.Text(), `"messages":[{"message":1,`); {
		if !frames.Scan() {
			t.Fatalf("the stream ends without a message: %v", frames.Err())
		}
	}
	if code := end(); code != 0 {
		t.Errorf("it ended with code %d", code)
	}
}

func TestMistakesAreToldInOneLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	for _, x := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-speed", "7"}, 2, "not defined: -speed; -h lists the flags"},
		{[]string{"now"}, 2, `"now" is not a flag; -h lists them`},
		{[]string{"-listen", "127.0.0.1"}, 2, `-listen "127.0.0.1" is not an address such as 127.0.0.1:8080`},
		{[]string{"-nodes", "1"}, 2, "-nodes 1 is not between 2 and 2000"},
		{[]string{"-nodes", "0"}, 2, "-nodes 0 is not between 2 and 2000"},
		{[]string{"-nodes", "2001"}, 2, "-nodes 2001 is not between 2 and 2000"},
		{[]string{"-nodes", "257", "-real"}, 2, "-nodes 257 is not between 2 and 256"},
		{[]string{"-nodes", "many"}, 2, `invalid value "many" for flag -nodes`},
		{[]string{"-seed", "-1"}, 2, `invalid value "-1" for flag -seed`},
		{[]string{"-listen", taken.Addr().String()}, 1, "choose another address with -listen"},
		{[]string{"-listen", "127.0.0.1:99999"}, 1, "choose another address with -listen"},
	} {
		var stdout, stderr output
		code := run(t.Context(), x.args, &stdout, &stderr)
		if text := stderr.String(); code != x.code || !strings.Contains(text, x.says) || strings.Count(text, "\n") != 1 || stdout.String() != "" {
			t.Errorf("%v ended with code %d and said %q", x.args, code, text)
		}
	}
}

func TestHelpNamesAllFlags(t *testing.T) {
	var stdout, stderr output
	code := run(t.Context(), []string{"-h"}, &stdout, &stderr)
	for _, name := range []string{"-listen", "-nodes", "-seed", "-real"} {
		if !strings.Contains(stdout.String(), "  "+name) {
			t.Errorf("the help does not name %s:\n%s", name, stdout.String())
		}
	}
	if code != 0 || stderr.String() != "" {
		t.Errorf("help ended with code %d and said %q", code, stderr.String())
	}
}

func TestTheClusterEndsWithItsPage(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, closed.Close())
	ended := make(chan error, 1)
	go func() { ended <- serve(context.Background(), closed, newCluster(quick(2))) }()
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("a page that cannot be served ends with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the cluster goes on without a page")
	}
}
