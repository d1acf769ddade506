package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/clitest"
)

// lines is where a program prints; each line can be waited for.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// next returns the next line.
func (l lines) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-l:
		return line
	case <-time.After(clitest.Patience):
		t.Fatal("the seed prints nothing more")
		return ""
	}
}

func TestASeedPrintsWhatItHears(t *testing.T) {
	stdout, stderr := make(lines, 100), make(lines, 100)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"-listen", "/ip4/127.0.0.1/udp/0", "-cluster", "demo"}, stdout, stderr)
	}()
	first := stdout.next(t)
	id, at, ok := strings.Cut(strings.TrimSpace(first), " listens on ")
	if !ok {
		t.Fatalf("a seed should say first where it listens, not %q", first)
	}
	addr, err := gossip.ParseAddress(at)
	if err != nil {
		t.Fatalf("the seed says it listens on %q: %v", at, err)
	}
	if line := stderr.next(t); line != "seed_node: CONNECTED, was INITIALIZED\n" {
		t.Errorf("a seed that starts logged %q", line)
	}

	loopback, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	node, err := gossip.New(loopback, func(gossip.NodeID, []byte) {}, gossip.Config{Cluster: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	loop := make(chan error, 1)
	go func() { loop <- node.Run(context.Background()) }()
	defer func() { <-loop }()
	defer node.Close()
	if err := node.Join(addr); err != nil {
		t.Fatal(err)
	}
	if err := node.SendData([]byte("hello, seed")); err != nil {
		t.Fatal(err)
	}
	if got, want := stdout.next(t), node.ID().String()+` says "hello, seed"`+"\n"; got != want {
		t.Errorf("the seed printed %q instead of %q", got, want)
	}
	if members := node.Members(); len(members) != 1 || members[0].ID.String() != id {
		t.Errorf("the seed calls itself %s, but the node knows %v", id, members)
	}

	cancel()
	select {
	case c := <-code:
		if c != 0 {
			t.Errorf("the seed ended with code %d", c)
		}
	case <-time.After(clitest.Patience):
		t.Fatal("the seed does not end")
	}
	gone := time.After(clitest.Patience)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for len(node.Members()) > 0 {
		select {
		case <-look.C:
		case <-gone:
			t.Fatal("the seed is still a member after its end")
		}
	}
	if s := node.Stats(); s.MembersLost > 0 {
		t.Error("the seed went without a goodbye")
	}
}

func TestASeedWaitsForOtherSeedsAsLongAsItIsTold(t *testing.T) {
	silent := clitest.TakenAddress(t)
	p := clitest.Start(t, func(ctx context.Context, stdout, stderr io.Writer) int {
		return run(ctx, []string{"-listen", "127.0.0.1:0", "-seed", silent}, stdout, stderr)
	})
	p.Stderr.Find(t, `seed_node: nobody answers at `+silent+`; still trying\n`)
	if code := p.Interrupt(); code != 0 {
		t.Errorf("a seed on its own ended with code %d\n%s", code, &p.Stderr)
	}
	p = clitest.Start(t, func(ctx context.Context, stdout, stderr io.Writer) int {
		return run(ctx, []string{"-listen", "127.0.0.1:0", "-seed", silent, "-wait", "100ms"}, stdout, stderr)
	})
	if code := p.Wait(); code != 1 {
		t.Errorf("a seed that was to wait for 100 ms ended with code %d\n%s", code, &p.Stderr)
	}
	p.Stderr.Find(t, `seed_node: nobody answers at `+silent+` in 100ms: check .*\n`)
}

func TestAnOutputThatCannotBeWrittenIsTheEnd(t *testing.T) {
	clitest.Unwritable(t, "seed_node", run, "-listen", "127.0.0.1:0")
}

func TestALookupEndsWithTheProgramAndItsWait(t *testing.T) {
	clitest.Nameless(t, "seed_node", run, "-listen", "127.0.0.1:0")
}

func TestMistakesAreToldInOneLine(t *testing.T) {
	taken := clitest.TakenAddress(t)
	clitest.Mistakes(t, "seed_node", run,
		clitest.Ends(1, "cannot listen on "+taken, "-listen", taken),
		clitest.Ends(2, "resolve the host name", "-listen", "localhost:7070"),
		clitest.Ends(2, "-listen needs an address", "-listen", ""),
		clitest.Ends(2, "port", "-listen", "127.0.0.1:0", "-seed", "127.0.0.1"),
		clitest.Ends(2, "0.0.0.0:1", "-listen", "127.0.0.1:0", "-seed", "0.0.0.0:1"),
		clitest.Ends(2, "Cluster", "-listen", "127.0.0.1:0", "-cluster", "\xff"),
		clitest.Ends(2, "-wait -1s", "-wait", "-1s"),
		clitest.Ends(2, "-loud", "-loud"),
		clitest.Ends(2, `"127.0.0.1:7070"`, "127.0.0.1:7070"),
	)
}
