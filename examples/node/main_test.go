package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/clitest"
)

// start runs the program with arguments.
func start(t *testing.T, args ...string) *clitest.Program {
	return clitest.Start(t, func(ctx context.Context, stdout, stderr io.Writer) int { return run(ctx, args, stdout, stderr) })
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

	p := start(t, "-seed", seed.Address().Multiaddr(), "-cluster", "demo", "-say", "hello", "-every", "100ms")
	for range 3 {
		select {
		case line := <-heard:
			if line != "hello" {
				t.Errorf("the seed heard %q instead of the line that the node was told to say", line)
			}
		case <-time.After(clitest.Patience):
			t.Fatalf("the seed does not hear the node\n%s\n%s", &p.Stdout, &p.Stderr)
		}
	}
	if err := seed.SendData([]byte("hello, node")); err != nil {
		t.Fatal(err)
	}
	if id := p.Stdout.Find(t, `([0-9a-f]{16}) says "hello, node"`); id != seed.ID().String() {
		t.Errorf("the node says it heard %s, but the seed is %v", id, seed.ID())
	}
	p.Stderr.Find(t, "node: CONNECTED, was JOINING\n")
	if code := p.Interrupt(); code != 0 {
		t.Errorf("the node ended with code %d\n%s", code, &p.Stderr)
	}
	clitest.Until(t, func() string { return fmt.Sprintf("the seed has no members: %v", seed.Members()) },
		func() bool { return len(seed.Members()) == 0 })
	if s := seed.Stats(); s.MembersLost > 0 {
		t.Error("the node went without a goodbye")
	}
}

// Leave drops what is not acknowledged, so the end of the loop comes before it.
func TestWhatWasSaidLastIsHandedOver(t *testing.T) {
	heard := make(chan string, 1)
	loopback, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seed, err := gossip.New(loopback, func(_ gossip.NodeID, payload []byte) { heard <- string(payload) }, gossip.Config{})
	if err != nil {
		t.Fatal(err)
	}
	node, err := gossip.New(loopback, func(gossip.NodeID, []byte) {}, gossip.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	var seedLoop sync.WaitGroup
	seedLoop.Go(func() { seed.Run(context.Background()) })
	defer seedLoop.Wait()
	defer seed.Close()
	if err := seed.Join(); err != nil {
		t.Fatal(err)
	}
	if err := node.Join(seed.Address()); err != nil {
		t.Fatal(err)
	}
	clitest.Until(t, func() string { return "the node and the seed know each other" }, func() bool {
		if err := turn(node, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		return len(node.Members()) == 1 && len(seed.Members()) == 1
	})
	if err := node.SendData([]byte("the last line")); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := loop(ended, node, options{}, io.Discard); err != nil {
		t.Fatal(err)
	}
	select {
	case line := <-heard:
		if line != "the last line" {
			t.Errorf("the seed heard %q", line)
		}
	case <-time.After(clitest.Patience):
		t.Error("the node left without handing over its last line")
	}
}

func TestANodeThatNobodyAnswersEndsAfterItsWaitOnly(t *testing.T) {
	silent := clitest.TakenAddress(t)
	p := start(t, "-seed", silent, "-wait", "300ms")
	if code := p.Wait(); code != 1 {
		t.Errorf("a node that nobody answered ended with code %d\n%s", code, &p.Stderr)
	}
	p.Stderr.Find(t, `node: nobody answers at `+silent+` in 300ms: check .*\n`)

	p = start(t, "-seed", silent, "-wait", "0")
	p.Stderr.Find(t, `node: DISCONNECTED, was JOINING\n`)
	if code := p.Interrupt(); code != 0 {
		t.Errorf("a node that would wait for ever ended with code %d at an interrupt\n%s", code, &p.Stderr)
	}
}

func TestAnOutputThatCannotBeWrittenIsTheEnd(t *testing.T) {
	clitest.Unwritable(t, "node", run, "-seed", clitest.TakenAddress(t), "-wait", "0")
}

func TestALookupEndsWithTheProgramAndItsWait(t *testing.T) {
	clitest.Nameless(t, "node", run, "-listen", "127.0.0.1:0")
}

func TestMistakesAreToldInOneLine(t *testing.T) {
	taken := clitest.TakenAddress(t)
	const seed = "-seed=127.0.0.1:7070"
	clitest.Mistakes(t, "node", run,
		clitest.Ends(1, "cannot listen on "+taken, seed, "-listen", taken),
		clitest.Ends(2, "-seed is missing"),
		clitest.Ends(2, "no such host", "-seed", "no such host.example:7070"),
		clitest.Ends(1, "seed.invalid", "-seed", "seed.invalid:7070"),
		clitest.Ends(2, "port", "-seed", "127.0.0.1:7070,127.0.0.1"),
		clitest.Ends(2, `"127.0.0.1:0"`, "-seed", "127.0.0.1:0"),
		clitest.Ends(2, `"7070"`, seed, "-listen", "7070"),
		clitest.Ends(2, "-every 0s", seed, "-every", "0s", "-say", "x"),
		clitest.Ends(2, "-wait -1s", seed, "-wait", "-1s"),
		clitest.Ends(2, "at most 480 bytes", seed, "-say", strings.Repeat("x", 1000)),
		clitest.Ends(2, "Cluster", seed, "-cluster", strings.Repeat("x", 256)),
		clitest.Ends(2, "-loud", seed, "-loud"),
		clitest.Ends(2, `"hello"`, seed, "hello"),
	)
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
	program := func(name string, args ...string) (stdout *clitest.Output, end func(os.Signal)) {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		stdout, stderr := new(clitest.Output), new(clitest.Output)
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
			case <-time.After(clitest.Patience):
				t.Errorf("%s does not end on %v", name, s)
			}
		}
	}

	seed, endSeed := program("seed_node", "-listen", "127.0.0.1:0")
	addr := seed.Find(t, `listens on (127\.0\.0\.1:\d+)\n`)
	ann, endAnn := program("node", "-seed", addr, "-say", "I am Ann", "-every", "100ms")
	bob, endBob := program("node", "-seed", addr, "-say", "I am Bob", "-every", "100ms")
	for _, out := range []*clitest.Output{seed, ann} {
		out.Find(t, `[0-9a-f]{16} says "I am Bob"\n`)
	}
	for _, out := range []*clitest.Output{seed, bob} {
		out.Find(t, `[0-9a-f]{16} says "I am Ann"\n`)
	}
	endAnn(os.Interrupt)
	endBob(syscall.SIGTERM)
	endSeed(os.Interrupt)
}
