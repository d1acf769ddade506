package main

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"example.com/gossip"
)

const patience = time.Minute

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
	case <-time.After(patience):
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
	case <-time.After(patience):
		t.Fatal("the seed does not end")
	}
	gone := time.After(patience)
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

func TestMistakesAreToldInOneLine(t *testing.T) {
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		args  []string
		code  int
		names string
	}{
		{[]string{"-listen", taken.LocalAddr().String()}, 1, taken.LocalAddr().String()},
		{[]string{"-listen", "localhost:7070"}, 2, "resolve the host name"},
		{[]string{"-listen", ""}, 2, "self"},
		{[]string{"-listen", "127.0.0.1:0", "-seed", "127.0.0.1"}, 2, "port is missing"},
		{[]string{"-listen", "127.0.0.1:0", "-seed", "0.0.0.0:1"}, 2, "0.0.0.0:1"},
		{[]string{"-listen", "127.0.0.1:0", "-cluster", "\xff"}, 2, "Cluster"},
		{[]string{"-loud"}, 2, "-loud"},
		{[]string{"127.0.0.1:7070"}, 2, `"127.0.0.1:7070"`},
	} {
		var stdout, stderr strings.Builder
		code := run(context.Background(), c.args, &stdout, &stderr)
		if code != c.code || !strings.Contains(stderr.String(), c.names) {
			t.Errorf("with %q the program ended with code %d instead of %d, saying\n%s", c.args, code, c.code, &stderr)
		}
		if s := stderr.String(); strings.Count(s, "\n") != 1 || !strings.HasPrefix(s, "seed_node: ") || stdout.Len() > 0 {
			t.Errorf("with %q the program should say one line, not\n%s%s", c.args, &stdout, &stderr)
		}
	}
	var help, stderr strings.Builder
	if code := run(context.Background(), []string{"-h"}, &help, &stderr); code != 0 || !strings.Contains(help.String(), "-listen") || stderr.Len() > 0 {
		t.Errorf("-h ended with code %d and printed\n%s%s", code, &help, &stderr)
	}
}
