package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/gossip"
)

const patience = time.Minute

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

// find waits until something that matches has been printed and returns the first
// group of the match.
func (o *output) find(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	waitUntil(t, func() string { return fmt.Sprintf("%q is printed, only\n%s", pattern, o) },
		func() bool { return re.MatchString(o.String()) })
	return re.FindStringSubmatch(o.String())[re.NumSubexp()]
}

func waitUntil(t *testing.T, what func() string, cond func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	limit := time.After(patience)
	for !cond() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("after %v it does not hold that %s", patience, what())
		}
	}
}

// start runs the program in a goroutine; end ends it and returns its code.
func start(t *testing.T, args ...string) (stdout, stderr *output, end func() int) {
	t.Helper()
	stdout, stderr = new(output), new(output)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	code := make(chan int, 1)
	go func() { code <- run(ctx, args, stdout, stderr) }()
	return stdout, stderr, func() int {
		t.Helper()
		cancel()
		select {
		case c := <-code:
			return c
		case <-time.After(patience):
			t.Fatalf("the program does not end\n%s\n%s", stdout, stderr)
			return 0
		}
	}
}

func TestANodeTalksToItsSeed(t *testing.T) {
	heard := make(chan string, 1000)
	loopback, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seed, err := gossip.New(loopback, func(_ gossip.NodeID, payload []byte) { heard <- string(payload) }, gossip.Config{Cluster: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	var loop sync.WaitGroup
	loop.Go(func() { seed.Run(context.Background()) })
	defer loop.Wait()
	defer seed.Close()
	if err := seed.Join(); err != nil {
		t.Fatal(err)
	}

	stdout, stderr, end := start(t, "-seed", seed.Address().Multiaddr(), "-cluster", "demo", "-say", "hello", "-every", "100ms")
	for range 3 {
		select {
		case line := <-heard:
			if line != "hello" {
				t.Errorf("the seed heard %q instead of the line that the node was told to say", line)
			}
		case <-time.After(patience):
			t.Fatalf("the seed does not hear the node\n%s\n%s", stdout, stderr)
		}
	}
	if err := seed.SendData([]byte("hello, node")); err != nil {
		t.Fatal(err)
	}
	if id := stdout.find(t, `([0-9a-f]{16}) says "hello, node"`); id != seed.ID().String() {
		t.Errorf("the node says it heard %s, but the seed is %v", id, seed.ID())
	}
	stderr.find(t, "node: CONNECTED, was JOINING\n")
	if code := end(); code != 0 {
		t.Errorf("the node ended with code %d\n%s", code, stderr)
	}
	waitUntil(t, func() string { return fmt.Sprintf("the seed has no members: %v", seed.Members()) },
		func() bool { return len(seed.Members()) == 0 })
	if s := seed.Stats(); s.MembersLost > 0 {
		t.Error("the node went without a goodbye")
	}
}

func TestANodeSaysThatNobodyAnswers(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, stderr, end := start(t, "-seed", silent.LocalAddr().String())
	stderr.find(t, `node: nobody answers at \[`+silent.LocalAddr().String()+`\]; trying on\n`)
	if code := end(); code != 0 {
		t.Errorf("a node on its own ended with code %d\n%s", code, stderr)
	}
}

func TestMistakesAreToldInOneLine(t *testing.T) {
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const seed = "-seed=127.0.0.1:7070"
	for _, c := range []struct {
		args  []string
		code  int
		names string
	}{
		{[]string{seed, "-listen", taken.LocalAddr().String()}, 1, taken.LocalAddr().String()},
		{nil, 2, "-seed is missing"},
		{[]string{"-seed", "seed.example.com:7070"}, 2, "resolve the host name"},
		{[]string{"-seed", "127.0.0.1:7070,127.0.0.1"}, 2, "port is missing"},
		{[]string{"-seed", "127.0.0.1:0"}, 2, `"127.0.0.1:0"`},
		{[]string{seed, "-listen", "7070"}, 2, `"7070"`},
		{[]string{seed, "-every", "0s", "-say", "x"}, 2, "-every 0s"},
		{[]string{seed, "-say", strings.Repeat("x", 1000)}, 2, "at most 480 bytes"},
		{[]string{seed, "-cluster", strings.Repeat("x", 256)}, 2, "Cluster"},
		{[]string{seed, "-loud"}, 2, "-loud"},
		{[]string{seed, "hello"}, 2, `"hello"`},
	} {
		stdout, stderr := new(output), new(output)
		code := run(context.Background(), c.args, stdout, stderr)
		if code != c.code || !strings.Contains(stderr.String(), c.names) {
			t.Errorf("with %q the program ended with code %d instead of %d, saying\n%s", c.args, code, c.code, stderr)
		}
		if s := stderr.String(); strings.Count(s, "\n") != 1 || !strings.HasPrefix(s, "node: ") || stdout.String() != "" {
			t.Errorf("with %q the program should say one line, not\n%s%s", c.args, stdout, stderr)
		}
	}
	help, stderr := new(output), new(output)
	if code := run(context.Background(), []string{"-h"}, help, stderr); code != 0 || !strings.Contains(help.String(), "-seed") || stderr.String() != "" {
		t.Errorf("-h ended with code %d and printed\n%s%s", code, help, stderr)
	}
}

// The programs as they are run by hand: a seed and two nodes, ended by a signal.
func TestTheProgramsTogether(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted by another one here")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("no go command to build the programs with: %v", err)
	}
	bin := t.TempDir()
	if out, err := exec.Command(tool, "build", "-o", bin, ".", "../seed_node").CombinedOutput(); err != nil {
		t.Fatalf("the programs do not build: %v\n%s", err, out)
	}
	program := func(name string, args ...string) (stdout *output, end func(os.Signal)) {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		stdout, stderr := new(output), new(output)
		cmd.Stdout, cmd.Stderr = stdout, stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		return stdout, func(s os.Signal) {
			cmd.Process.Signal(s)
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("%s should end with code 0 on %v, but: %v\n%s", name, s, err, stderr)
				}
			case <-time.After(patience):
				t.Errorf("%s does not end on %v", name, s)
			}
		}
	}

	seed, endSeed := program("seed_node", "-listen", "127.0.0.1:0")
	addr := seed.find(t, `listens on (127\.0\.0\.1:\d+)\n`)
	ann, endAnn := program("node", "-seed", addr, "-say", "I am Ann", "-every", "100ms")
	bob, endBob := program("node", "-seed", addr, "-say", "I am Bob", "-every", "100ms")
	for _, out := range []*output{seed, ann} {
		out.find(t, `[0-9a-f]{16} says "I am Bob"\n`)
	}
	for _, out := range []*output{seed, bob} {
		out.find(t, `[0-9a-f]{16} says "I am Ann"\n`)
	}
	endAnn(os.Interrupt)
	endBob(syscall.SIGTERM)
	endSeed(os.Interrupt)
}
