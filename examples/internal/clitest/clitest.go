// Package clitest runs the example programs in tests.
package clitest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for anything.
const Patience = time.Minute

// Output is what a program has printed so far.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String returns all that was printed.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Find waits until something that matches is printed and returns the last group of
// the match, or all of it.
func (o *Output) Find(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	Until(t, func() string { return fmt.Sprintf("%q is printed, only\n%s", pattern, o) },
		func() bool { return re.MatchString(o.String()) })
	return re.FindStringSubmatch(o.String())[re.NumSubexp()]
}

// Until waits until cond holds.
func Until(t *testing.T, what func() string, cond func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	limit := time.After(Patience)
	for !cond() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("after %v it does not hold that %s", Patience, what())
		}
	}
}

// Main is a program: its arguments are bound already.
type Main func(ctx context.Context, stdout, stderr io.Writer) int

// Program is one that runs, on a goroutine.
type Program struct {
	Stdout, Stderr Output
	t              *testing.T
	interrupt      context.CancelFunc
	code           chan int
}

// Start runs a program, until the test ends at the latest.
func Start(t *testing.T, main Main) *Program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	p := &Program{t: t, interrupt: cancel, code: make(chan int, 1)}
	go func() { p.code <- main(ctx, &p.Stdout, &p.Stderr) }()
	return p
}

// Interrupt ends the program as a signal does and returns its exit code.
func (p *Program) Interrupt() int {
	p.t.Helper()
	p.interrupt()
	return p.Wait()
}

// Wait waits for the end of the program and returns its exit code.
func (p *Program) Wait() int {
	p.t.Helper()
	select {
	case c := <-p.code:
		p.code <- c // for who asks again
		return c
	case <-time.After(Patience):
		p.t.Fatalf("the program does not end\n%s\n%s", &p.Stdout, &p.Stderr)
		return 0
	}
}

// Mistake is a wrong command line, or one that cannot be carried out.
type Mistake struct {
	code int    // with which the program is to end
	says string // a part of its one line on stderr
	args []string
}

// Ends returns a mistake with these arguments: the program is to end with code,
// having said a line that contains says.
func Ends(code int, says string, args ...string) Mistake { return Mistake{code, says, args} }

// Mistakes runs a program with each and fails unless it ends as it should, having
// said one line that begins with its name, and -h unless that prints the usage.
func Mistakes(t *testing.T, name string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) int, mistakes ...Mistake) {
	t.Helper()
	for _, m := range mistakes {
		p := Start(t, func(ctx context.Context, stdout, stderr io.Writer) int { return run(ctx, m.args, stdout, stderr) })
		code, s := p.Wait(), p.Stderr.String()
		if code != m.code || !strings.Contains(s, m.says) {
			t.Errorf("with %q %s ended with code %d instead of %d, or does not say %q:\n%s", m.args, name, code, m.code, m.says, s)
		}
		if strings.Count(s, "\n") != 1 || !strings.HasPrefix(s, name+": ") {
			t.Errorf("with %q %s should say one line, not\n%s", m.args, name, s)
		}
	}
	p := Start(t, func(ctx context.Context, stdout, stderr io.Writer) int {
		return run(ctx, []string{"-h"}, stdout, stderr)
	})
	if code := p.Wait(); code != 0 || !strings.Contains(p.Stdout.String(), "-listen") || p.Stderr.String() != "" {
		t.Errorf("%s -h ended with code %d and printed\n%s%s", name, code, &p.Stdout, &p.Stderr)
	}
}

// Unwritable runs a program whose output cannot be written, which is to end it with code 1
// and a line that says so.
func Unwritable(t *testing.T, name string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) int, args ...string) {
	t.Helper()
	p := Start(t, func(ctx context.Context, _, stderr io.Writer) int { return run(ctx, args, full{}, stderr) })
	if code := p.Wait(); code != 1 {
		t.Errorf("when its output cannot be written %s ends with code %d", name, code)
	}
	if want := name + ": cannot write: disk full\n"; !strings.HasSuffix(p.Stderr.String(), want) {
		t.Errorf("when its output cannot be written %s should say %q in the end, not\n%s", name, want, &p.Stderr)
	}
}

// full is an output that cannot be written.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// slowNames makes every lookup of a name take until it is given up, while the test runs.
// The channel tells when one has begun.
func slowNames(t *testing.T) <-chan struct{} {
	t.Helper()
	asked, was := make(chan struct{}, 1), net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = was })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case asked <- struct{}{}:
		default: // it is known
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	return asked
}

// Nameless runs a program that is looking up a name, which an interrupt is to end with
// code 0 and without a word, and its -wait as if nobody answered.
func Nameless(t *testing.T, name string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) int, args ...string) {
	t.Helper()
	asked := slowNames(t)
	args = append(args, "-seed", "slow.example:7070")
	p := Start(t, func(ctx context.Context, stdout, stderr io.Writer) int { return run(ctx, args, stdout, stderr) })
	select {
	case <-asked:
	case <-time.After(Patience):
		t.Fatalf("%s does not look up the name\n%s", name, &p.Stderr)
	}
	if code, says := p.Interrupt(), p.Stderr.String(); code != 0 || says != "" {
		t.Errorf("interrupted while it looks up a name %s ends with code %d, saying\n%s", name, code, says)
	}
	args = append(args, "-wait", "50ms")
	p = Start(t, func(ctx context.Context, stdout, stderr io.Writer) int { return run(ctx, args, stdout, stderr) })
	if code, says := p.Wait(), p.Stderr.String(); code != 1 || !strings.HasPrefix(says, name+": nobody answers at slow.example:7070 in 50ms: ") {
		t.Errorf("when a lookup takes longer than -wait %s ends with code %d, saying\n%s", name, code, says)
	}
}

// TakenAddress returns a UDP address in use, at which nobody answers.
func TakenAddress(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}
