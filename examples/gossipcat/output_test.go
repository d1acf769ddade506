package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/clitest"
)

func TestLinesCannotBreakTheFormat(t *testing.T) {
	odd := "tab\there, \\n, \x1b[31mred\r\x00\xff \u202e \u00e9 \U0001f408"
	escaped, addr := startListener(t)
	raw := start(t, strings.NewReader(""), "-seed", addr, "-k", "-raw", "-status")
	raw.Stderr.Find(t, "CONNECTED, 1 members")
	wantEnd(t, start(t, strings.NewReader(odd+"\n\n"), "-seed", addr), 0, "") // and an empty line
	node := runNode(t, func(gossip.NodeID, []byte) {})
	seed, err := gossip.ParseAddress(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.SendData([]byte("two\nlines"), gossip.Direct(seed)); err != nil { // as no cat would
		t.Fatal(err)
	}
	want := []string{"", `tab\there, \\n, \x1b[31mred\r\x00\xff \u202e é 🐈`, `two\nlines`}
	clitest.Until(t, func() string { return fmt.Sprintf("all is escaped:\n%s", &escaped.Stdout) }, func() bool {
		var got []string
		for line := range strings.Lines(escaped.Stdout.String()) {
			_, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, text)
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
	clitest.Until(t, func() string { return fmt.Sprintf("nothing is escaped: %q", &raw.Stdout) }, func() bool {
		s := raw.Stdout.String()
		return s == odd+"\n\n" || s == "\n"+odd+"\n"
	})
}

// errWriter is an output that cannot be written.
type errWriter struct{ error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.error }

func TestAnOutputThatCannotBeWrittenIsTheEnd(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   int
		stderr string
	}{
		{&os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}, codeUnread, ""},
		{errors.New("disk full"), 1, "gossipcat: cannot write: disk full\n"},
	} {
		seed := runNode(t, func(gossip.NodeID, []byte) {})
		stdin, _ := keyboard(t)
		p := clitest.Start(t, func(ctx context.Context, _, stderr io.Writer) int {
			return run(ctx, []string{loopback, "-seed", seed.Address().String()}, stdin, errWriter{c.err}, stderr)
		})
		if err := seed.SendData([]byte("unread")); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, p, c.code, c.stderr)
		wantGoodbye(t, seed)
	}
}

// gate is an output that stands still until it is opened.
type gate struct {
	clitest.Output
	open chan bool
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	return g.Output.Write(b)
}

func TestAnOutputThatStandsStillCostsLinesButNotTheNode(t *testing.T) {
	w := &gate{open: make(chan bool)}
	o := newOutput(w, true, func() { t.Error("the output failed") })
	o.patience = 20 * time.Millisecond
	const all = 3 * mostUnwritten // many of which would have to wait for room
	line := bytes.Repeat([]byte("x"), 400)
	began := time.Now()
	for range all {
		o.receive(1, line)
	}
	if d := time.Since(began); d < o.patience || d > mostUnwritten*o.patience {
		t.Errorf("lines waited %v for room, with a patience of %v for all together", d, o.patience)
	}
	close(w.open)
	clitest.Until(t, func() string { return "there is room again" }, func() bool { return len(o.lines) == 0 })
	o.receive(1, []byte("last"))
	lost, err := o.close(t.Context())
	printed := strings.Count(w.String(), "\n")
	if err != nil || printed+int(lost) != all+1 || printed < mostUnwritten || !strings.HasSuffix(w.String(), "x\nlast\n") {
		t.Errorf("of %d lines %d were printed and %d lost, error %v", all+1, printed, lost, err)
	}
}

func TestAnInterruptEndsAnOutputThatStandsStill(t *testing.T) {
	seed := runNode(t, func(gossip.NodeID, []byte) {})
	w := &gate{open: make(chan bool)}
	t.Cleanup(func() { close(w.open) })
	stdin, _ := keyboard(t)
	p := clitest.Start(t, func(ctx context.Context, _, stderr io.Writer) int {
		return run(ctx, []string{loopback, "-seed", seed.Address().String(), "-status"}, stdin, w, stderr)
	})
	for range 10 {
		if err := seed.SendData([]byte("unprinted")); err != nil {
			t.Fatal(err)
		}
	}
	p.Stderr.Find(t, ` 10 received`)
	if code := p.Interrupt(); code != 1 {
		t.Errorf("the end came with code %d", code)
	}
	p.Stderr.Find(t, `gossipcat: 10 lines were not printed: nobody read the output\n$`)
	wantGoodbye(t, seed)
}
