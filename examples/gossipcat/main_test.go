package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/clitest"
)

// loopback is where all cats of the tests listen.
const loopback = "-listen=127.0.0.1:0"

// start runs a cat.
func start(t *testing.T, stdin io.Reader, args ...string) *clitest.Program {
	t.Helper()
	return clitest.Start(t, func(ctx context.Context, stdout, stderr io.Writer) int {
		return run(ctx, append([]string{loopback}, args...), stdin, stdout, stderr)
	})
}

// startListener runs a cat that is a seed, hears and says nothing, and returns its address.
func startListener(t *testing.T, args ...string) (p *clitest.Program, addr string) {
	t.Helper()
	p = start(t, strings.NewReader(""), append(args, "-k")...)
	return p, p.Stderr.Find(t, `listens on (127\.0\.0\.1:\d+)\n`)
}

// keyboard is an input that stays open until the test ends.
func keyboard(t *testing.T) (stdin io.Reader, enter func(line string)) {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	return r, func(line string) {
		t.Helper()
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
}

// wantEnd waits for the end of a cat.
func wantEnd(t *testing.T, p *clitest.Program, code int, stderr string) {
	t.Helper()
	if got := p.Wait(); got != code || p.Stderr.String() != stderr {
		t.Errorf("a cat ended with code %d instead of %d, and said %q instead of %q", got, code, &p.Stderr, stderr)
	}
}

func TestTwoCatsTalkBothWays(t *testing.T) {
	annIn, annSays := keyboard(t)
	ann := start(t, annIn)
	addr := ann.Stderr.Find(t, `listens on (127\.0\.0\.1:\d+)\n`)
	annSays("is anybody here?") // there is not, the line waits

	bobIn, bobSays := keyboard(t)
	bob := start(t, bobIn, "-seed", addr)
	id := bob.Stdout.Find(t, `^([0-9a-f]{16})\tis anybody here\?\n`)
	ann.Stderr.Find(t, "gossipcat: "+id+" listens on ")
	bobSays("yes")
	id = ann.Stdout.Find(t, `^([0-9a-f]{16})\tyes\n`)
	bobSays("it is me")
	ann.Stdout.Find(t, `^`+id+`\tyes\n`+id+`\tit is me\n$`)
}

func TestAPipeArrivesComplete(t *testing.T) {
	listener, addr := startListener(t, "-raw")
	var lines []string
	for i := range 5000 {
		lines = append(lines, fmt.Sprintf("line %d of a pipe", i))
	}
	wantEnd(t, start(t, strings.NewReader(strings.Join(lines, "\n")), "-seed", addr), 0, "")
	arrived := func() []string { return strings.Split(strings.TrimSuffix(listener.Stdout.String(), "\n"), "\n") }
	clitest.Until(t, func() string { return fmt.Sprintf("%d lines arrive, only %d", len(lines), len(arrived())) },
		func() bool { return len(arrived()) >= len(lines) })
	got := arrived()
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		t.Error("what arrived is not what was sent")
	}
}

func TestAPipeArrivesCompleteWhereTheSeedOnlyTellsOf(t *testing.T) {
	seed, addr := startListener(t)
	listeners := []*clitest.Program{seed}
	for range 2 {
		listeners = append(listeners, start(t, strings.NewReader(""), "-seed", addr, "-k", "-status"))
	}
	for _, l := range listeners[1:] {
		l.Stderr.Find(t, "CONNECTED, 2 members")
	}
	const lines = 10_000 // several times what a node retains for others
	pipe := start(t, strings.NewReader(strings.Repeat("one of many\n", lines)), "-seed", addr)
	wantEnd(t, pipe, 0, "")
	for i, l := range listeners {
		arrived := func() int { return strings.Count(l.Stdout.String(), "\n") }
		clitest.Until(t, func() string { return fmt.Sprintf("listener %d prints %d lines, only %d", i, lines, arrived()) },
			func() bool { return arrived() >= lines })
	}
}

func TestOldLinesArePrintedUnlessOnlyNewOnesAreWanted(t *testing.T) {
	stdin, say := keyboard(t)
	ann := start(t, stdin)
	addr := ann.Stderr.Find(t, `listens on (127\.0\.0\.1:\d+)\n`)
	say("old")
	join := func(args ...string) *clitest.Program {
		p := start(t, strings.NewReader(""), append(args, "-seed", addr, "-k", "-status")...)
		p.Stderr.Find(t, "CONNECTED, [1-9]")
		return p
	}
	join().Stdout.Find(t, `\told\n`)
	late := join("-new")
	join().Stdout.Find(t, `\told\n`) // by comparison, which late has made too
	clitest.Until(t, func() string { return "a new line is printed" }, func() bool {
		say("new")
		return late.Stdout.String() != ""
	})
	if s := late.Stdout.String(); strings.Contains(s, "old") {
		t.Errorf("who wanted only new lines was told\n%s", s)
	}
}

func TestALineGoesAsFarAsItIsTold(t *testing.T) {
	bob, addr := startListener(t)
	carl := start(t, strings.NewReader(""), "-seed", addr, "-k", "-status")
	carl.Stderr.Find(t, "CONNECTED, 1 members")

	direct := "direct=" + addr
	wantEnd(t, start(t, strings.NewReader("for bob\n"), "-seed", addr, "-spread", direct), 0, "")
	stranger := start(t, strings.NewReader("from outside\n"), "-spread", direct) // joins nobody
	if code := stranger.Wait(); code != 0 {
		t.Errorf("a line to one node, by a stranger, ended with code %d\n%s", code, &stranger.Stderr)
	}
	wantEnd(t, start(t, strings.NewReader("rumor\n"), "-seed", addr, "-spread", "random"), 0, "")
	wantEnd(t, start(t, strings.NewReader("for all\n"), "-seed", addr, "-spread", "broadcast"), 0, "")
	for _, line := range []string{"for bob", "from outside", "rumor", "for all"} {
		bob.Stdout.Find(t, `\t`+line+`\n`)
	}
	carl.Stdout.Find(t, `\trumor\n`)
	carl.Stdout.Find(t, `\tfor all\n`)
	if s := carl.Stdout.String(); strings.Contains(s, "bob") || strings.Contains(s, "outside") {
		t.Errorf("a line for one node was heard by another one:\n%s", s)
	}
}

func TestOnlyWhoHasTheKeyTalks(t *testing.T) {
	key := func(digit string) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(strings.Repeat(digit, 64)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	listener, addr := startListener(t, "-key", key("a"))
	wantEnd(t, start(t, strings.NewReader("secret\n"), "-seed", addr, "-key", key("a")), 0, "")
	listener.Stdout.Find(t, `^[0-9a-f]{16}\tsecret\n$`)
	for _, args := range [][]string{{"-key", key("b")}, nil} {
		p := start(t, strings.NewReader("guess\n"), append(args, "-seed", addr, "-wait", "300ms")...)
		if code := p.Wait(); code != 1 || !strings.HasPrefix(p.Stderr.String(), "gossipcat: nobody answers at "+addr+" in 300ms: ") {
			t.Errorf("with %q, a cat without the key ended with code %d, and said\n%s", args, code, &p.Stderr)
		}
	}
	if s := listener.Stdout.String(); strings.Contains(s, "guess") {
		t.Errorf("a line without the key was heard:\n%s", s)
	}
}

func TestOtherClustersAreIgnored(t *testing.T) {
	_, addr := startListener(t, "-cluster", "a")
	wantEnd(t, start(t, strings.NewReader(""), "-cluster", "a", "-seed", addr), 0, "")
	p := start(t, strings.NewReader(""), "-cluster", "b", "-seed", addr, "-wait", "300ms")
	if code := p.Wait(); code != 1 {
		t.Errorf("a cat of another cluster ended with code %d\n%s", code, &p.Stderr)
	}
}

func TestSeedsAreFoundByName(t *testing.T) {
	listener, addr := startListener(t)
	_, port, _ := strings.Cut(addr, ":")
	wantEnd(t, start(t, strings.NewReader("by name\n"), "-seed", "localhost:"+port), 0, "")
	listener.Stdout.Find(t, `\tby name\n`)

	p := start(t, strings.NewReader("x\n"), "-seed", "seed.invalid:7070", "-wait", "100ms", "-status")
	p.Stderr.Find(t, `(?s)no seed has an address now, check the name or give an address: seed seed\.invalid:7070: .*nobody answers at seed\.invalid:7070 in 100ms: .*\n$`)
	if code := p.Wait(); code != 1 {
		t.Errorf("a name that cannot be resolved ended with code %d", code)
	}
}

func TestAnInputThatCannotBeSentEndsWithAnError(t *testing.T) {
	silent := clitest.TakenAddress(t)
	p := start(t, strings.NewReader("hello\n"), "-seed", silent, "-wait", "200ms")
	if code := p.Wait(); code != 1 || !strings.Contains(p.Stderr.String(), "nobody answers at "+silent) {
		t.Errorf("a cat that nobody answered ended with code %d, and said\n%s", code, &p.Stderr)
	}
	_, addr := startListener(t)
	// In this time the line is given up.
	wantEnd(t, start(t, strings.NewReader("hello\n"), "-seed", addr, "-spread", "direct="+silent, "-linger", "3s"), 1,
		"gossipcat: the last lines were not acknowledged: the node may lack them\n")
	failing := io.MultiReader(strings.NewReader("a\n"), errReader{errors.New("bad disk")})
	wantEnd(t, start(t, failing, "-seed", addr), 1, "gossipcat: cannot read line 2: bad disk\n")
}

type errReader struct{ error }

func (r errReader) Read([]byte) (int, error) { return 0, r.error }

// runNode returns a node of the library that turns its loop until the test ends.
func runNode(t *testing.T, receiver func(gossip.NodeID, []byte)) *gossip.GossipService {
	t.Helper()
	at, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	node, err := gossip.New(at, receiver, gossip.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var loop sync.WaitGroup
	loop.Go(func() { node.Run(context.Background()) })
	t.Cleanup(func() { node.Close(); loop.Wait() })
	if err := node.Join(); err != nil {
		t.Fatal(err)
	}
	return node
}

// wantGoodbye waits until a node has no members, and fails if any was lost.
func wantGoodbye(t *testing.T, node *gossip.GossipService) {
	t.Helper()
	clitest.Until(t, func() string { return fmt.Sprintf("the node has no members: %v", node.Members()) },
		func() bool { return len(node.Members()) == 0 })
	if s := node.Stats(); s.MembersLost > 0 {
		t.Error("a cat went without a goodbye")
	}
}

func TestTheEndWaitsForAcknowledgements(t *testing.T) {
	heard, goOn := make(chan string), make(chan bool)
	seed := runNode(t, func(_ gossip.NodeID, payload []byte) { heard <- string(payload); <-goOn })
	t.Cleanup(func() { close(goOn) })
	wantHeard := func(want string) { // its acknowledgement leaves later
		t.Helper()
		select {
		case line := <-heard:
			if line != want {
				t.Errorf("the seed heard %q instead of %q", line, want)
			}
		case <-time.After(clitest.Patience):
			t.Errorf("the seed does not hear %q", want)
		}
	}
	patient := start(t, strings.NewReader("one"), "-seed", seed.Address().String())
	wantHeard("one")
	goOn <- true
	wantEnd(t, patient, 0, "")
	wantGoodbye(t, seed)

	hasty := start(t, strings.NewReader("two"), "-seed", seed.Address().String(), "-linger", "100ms")
	wantHeard("two")
	wantEnd(t, hasty, 1, "gossipcat: the last lines were not acknowledged in 100ms: some nodes may lack them\n")
}

func TestASeedWaitsForSomebodyToHearIt(t *testing.T) {
	seed := start(t, strings.NewReader("hello\n"))
	addr := seed.Stderr.Find(t, `listens on (127\.0\.0\.1:\d+)\n`)
	p := start(t, strings.NewReader(""), "-seed", addr, "-k")
	p.Stdout.Find(t, `\thello\n`)
	if code := seed.Wait(); code != 0 {
		t.Errorf("when its line was heard the seed ended with code %d\n%s", code, &seed.Stderr)
	}
}

func TestAnInterruptSaysGoodbye(t *testing.T) {
	seed := runNode(t, func(gossip.NodeID, []byte) {})
	stdin, enter := keyboard(t)
	for _, args := range [][]string{nil, {"-k"}} {
		p := start(t, stdin, append(args, "-seed", seed.Address().String())...)
		enter("hello")
		clitest.Until(t, func() string { return "the seed has a member" }, func() bool { return len(seed.Members()) == 1 })
		if code := p.Interrupt(); code != 0 || p.Stderr.String() != "" {
			t.Errorf("with %q, an interrupt ended with code %d\n%s", args, code, &p.Stderr)
		}
		wantGoodbye(t, seed)
		stdin, enter = keyboard(t)
	}
}

func TestALineThatIsTooLongIsRefused(t *testing.T) {
	listener, addr := startListener(t, "-raw")
	fits, huge := strings.Repeat("x", 480), strings.Repeat("z", 3<<16+100) // the end of it alone would fit
	p := start(t, strings.NewReader("before\n"+fits+"y\n"+fits+"\n"+huge+"\nafter\n"+huge), "-seed", addr)
	wantEnd(t, p, 1, "gossipcat: line 2 has 481 bytes, a message has 480 at most: not sent\n"+
		"gossipcat: line 4 has 196708 bytes, a message has 480 at most: not sent\n"+
		"gossipcat: line 6 has 196708 bytes, a message has 480 at most: not sent\n")
	listener.Stdout.Find(t, `after\n`)
	if s := listener.Stdout.String(); len(s) != len("before\n")+len(fits)+len("\nafter\n") || !strings.Contains(s, fits+"\n") {
		t.Errorf("beside the lines that are too long, there arrived %q", s)
	}
}

func TestTheStatusSaysHowThingsAre(t *testing.T) {
	listener, addr := startListener(t, "-status")
	listener.Stderr.Find(t, `listens on .*\ngossipcat: CONNECTED, 0 members, 0 sent, 0 received, 0 waiting\n`)
	p := start(t, strings.NewReader("a\nb\n"), "-seed", addr, "-status")
	p.Stderr.Find(t, `gossipcat: CONNECTED, 1 members, 2 sent, 0 received, 0 waiting\n$`)
	listener.Stderr.Find(t, `gossipcat: CONNECTED, 0 members, 0 sent, 2 received, 0 waiting\n$`)
}

func TestMistakesAreToldInOneLine(t *testing.T) {
	taken := clitest.TakenAddress(t)
	badKey := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(badKey, []byte("# of the cluster\nsesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const seed = "-seed=127.0.0.1:7070"
	deaf := func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		return run(ctx, args, strings.NewReader(""), stdout, stderr)
	}
	clitest.Mistakes(t, "gossipcat", deaf,
		clitest.Ends(1, "cannot listen on "+taken, seed, "-listen", taken),
		clitest.Ends(1, "cannot read the keys", "-key", badKey+".missing"),
		clitest.Ends(1, "line 2 is not a key", "-key", badKey),
		clitest.Ends(2, "port", "-seed", "127.0.0.1"),
		clitest.Ends(2, `"7070"`, seed, "-listen", "7070"),
		clitest.Ends(2, "-spread: it must be broadcast, random or direct=address", "-spread", "wide"),
		clitest.Ends(2, `"nobody"`, "-spread", "direct=nobody"),
		clitest.Ends(2, `"127.0.0.1:0"`, "-spread", "direct=127.0.0.1:0"),
		clitest.Ends(2, `""`, "-spread", "direct="),
		clitest.Ends(2, "-wait -1s", seed, "-wait", "-1s"),
		clitest.Ends(2, "-linger -1s", seed, "-linger", "-1s"),
		clitest.Ends(2, "Cluster", seed, "-cluster", strings.Repeat("x", 256)),
		clitest.Ends(2, "-loud", seed, "-loud"),
		clitest.Ends(2, `"hello"`, seed, "hello"),
	)
}
