package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/clitest"
)

// start runs the program with arguments.
func start(t *testing.T, args ...string) *clitest.Program {
	return clitest.Start(t, func(ctx context.Context, stdout, stderr io.Writer) int { return run(ctx, args, stdout, stderr) })
}

// eachPoller runs a test with each that this system has.
func eachPoller(t *testing.T, test func(t *testing.T, poller string, newWaiter func(*relay) (waiter, error))) {
	t.Run("receive", func(t *testing.T) { test(t, "receive", newReceiveWaiter) })
	if runtime.GOOS == "linux" {
		t.Run("epoll", func(t *testing.T) { test(t, "epoll", newEpollWaiter) })
	}
}

// newNode returns a node that is alone, and what it hears. Nobody turns its loop.
func newNode(t *testing.T, config gossip.Config) (*gossip.GossipService, <-chan string) {
	t.Helper()
	loopback, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1000)
	node, err := gossip.New(loopback, func(_ gossip.NodeID, payload []byte) { heard <- string(payload) }, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	if err := node.Join(); err != nil {
		t.Fatal(err)
	}
	return node, heard
}

// runSeed returns a node that turns its loop until the test ends.
func runSeed(t *testing.T) (*gossip.GossipService, <-chan string) {
	t.Helper()
	seed, heard := newNode(t, gossip.Config{})
	var loop sync.WaitGroup
	loop.Go(func() { seed.Run(context.Background()) })
	t.Cleanup(func() { seed.Close(); loop.Wait() })
	return seed, heard
}

// next returns the next that is heard.
func next(t *testing.T, heard <-chan string, p *clitest.Program) string {
	t.Helper()
	select {
	case s := <-heard:
		return s
	case <-time.After(clitest.Patience):
		t.Fatalf("nothing more is heard\n%s\n%s", &p.Stdout, &p.Stderr)
		return ""
	}
}

// dial returns a socket that speaks with the program's lines.
func dial(t *testing.T, p *clitest.Program) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", p.Stdout.Find(t, `takes lines at (\S+)\n`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(clitest.Patience))
	return c
}

func TestLinesGoBothWays(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string, _ func(*relay) (waiter, error)) {
		seed, heard := runSeed(t)
		p := start(t, "-seed", seed.Address().String(), "-poller", poller)
		c := dial(t, p)
		longest := strings.Repeat("x", seed.MaxPayload())
		for _, line := range []string{"hello", "hello, cluster\r\n", "\n", longest + "y", longest + "\r\n"} {
			if _, err := io.WriteString(c, line); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]int{}
		for range 3 {
			got[next(t, heard, p)]++
		}
		if len(got) != 3 || got["hello"] != 1 || got["hello, cluster"] != 1 || got[longest] != 1 {
			t.Errorf("the seed heard %v", got)
		}
		p.Stderr.Find(t, `eventloop: a line from \S+ is lost: .*too large.*\n`)

		if err := seed.SendData([]byte("hello, line")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n, err := c.Read(b); string(b[:n]) != "hello, line" {
			t.Errorf("who says lines got %q, %v", b[:n], err)
		}
		p.Stdout.Find(t, seed.ID().String()+` says "hello, line"\n`)

		if code := p.Interrupt(); code != 0 {
			t.Errorf("the program ended with code %d\n%s", code, &p.Stderr)
		}
		clitest.Until(t, func() string { return fmt.Sprintf("the seed has no members: %v", seed.Members()) },
			func() bool { return len(seed.Members()) == 0 })
		if seed.Stats().MembersLost > 0 {
			t.Error("the program went without a goodbye")
		}
	})
}

// More lines than are taken in one turn: the rest is not forgotten.
func TestManyLinesAtOnce(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string, _ func(*relay) (waiter, error)) {
		const many = 150 // as a socket's buffer holds
		seed, heard := runSeed(t)
		p := start(t, "-seed", seed.Address().String(), "-poller", poller)
		c := dial(t, p)
		for n := range many {
			fmt.Fprintf(c, "line %d", n)
		}
		got := map[string]bool{}
		for range many {
			got[next(t, heard, p)] = true
		}
		if len(got) != many {
			t.Errorf("of %d lines, the seed heard %d", many, len(got))
		}
	})
}

// counted is a waiter that tells how long it waited, and ends the loop in time.
type counted struct {
	waiter
	turns, atOnce int // of these, not to wait at all
	early         []string
	end           context.CancelFunc
}

func (c *counted) wait(most time.Duration) error {
	before := time.Now()
	err := c.waiter.wait(most)
	took := time.Since(before)
	c.turns++
	if most == 0 {
		c.atOnce++
	}
	if took < most {
		c.early = append(c.early, fmt.Sprintf("%v of %v", took, most))
	}
	if c.turns == 30 {
		c.end()
	}
	return err
}

// A loop in which nothing happens waits as long as Tick says: a slow machine can only
// make it longer, and what ends a wait now and then is a signal, of which the runtime
// sends itself some.
func TestAnIdleLoopDoesNotSpin(t *testing.T) {
	eachPoller(t, func(t *testing.T, _ string, newWaiter func(*relay) (waiter, error)) {
		r := idleRelay(t)
		w := wait(t, r, newWaiter)
		ctx, cancel := context.WithTimeout(t.Context(), clitest.Patience)
		defer cancel()
		c := &counted{waiter: w, end: cancel}
		if err := loop(ctx, r.node, c); err != nil {
			t.Fatal(err)
		}
		if c.turns < 30 || c.atOnce+len(c.early) > c.turns/2 {
			t.Errorf("of %d turns in which nothing happened, %d were not to wait, and others ended before their time: %q", c.turns, c.atOnce, c.early)
		}
	})
}

// idleRelay returns a relay to which nothing comes.
func idleRelay(t *testing.T) *relay {
	t.Helper()
	node, _ := newNode(t, gossip.Config{TickInterval: 10 * time.Millisecond})
	lines, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lines.Close() })
	return &relay{node: node, lines: lines, stdout: io.Discard, stderr: io.Discard}
}

// wait returns a waiter of a relay.
func wait(t *testing.T, r *relay, newWaiter func(*relay) (waiter, error)) waiter {
	t.Helper()
	w, err := newWaiter(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// Leave drops what is not acknowledged, so the end of the loop comes before it.
func TestTheLastLineIsHandedOver(t *testing.T) {
	eachPoller(t, func(t *testing.T, _ string, newWaiter func(*relay) (waiter, error)) {
		seed, heard := runSeed(t)
		r := idleRelay(t)
		w := wait(t, r, newWaiter)
		if err := r.node.Join(seed.Address()); err != nil {
			t.Fatal(err)
		}
		clitest.Until(t, func() string { return "the node and the seed know each other" }, func() bool {
			_, err := r.node.Tick()
			if err == nil {
				_, err = r.node.Send()
			}
			if err == nil {
				err = w.wait(time.Millisecond)
			}
			if err != nil {
				t.Fatal(err)
			}
			return len(r.node.Members()) == 1 && len(seed.Members()) == 1
		})
		if err := r.say(line{text: []byte("the last line")}); err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := loop(ended, r.node, w); err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-heard:
			if s != "the last line" {
				t.Errorf("the seed heard %q", s)
			}
		case <-time.After(clitest.Patience):
			t.Error("the program left without handing over its last line")
		}
	})
}

// A wake from another goroutine ends the wait, before or while it waits, and many count
// as one.
func TestAWakeEndsTheWait(t *testing.T) {
	eachPoller(t, func(t *testing.T, _ string, newWaiter func(*relay) (waiter, error)) {
		w := wait(t, idleRelay(t), newWaiter)
		for _, wakes := range []int{1, 1, 100_000, 1} {
			ended := make(chan error)
			go func() { ended <- w.wait(time.Hour) }()
			for range wakes {
				w.wake()
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(clitest.Patience):
				t.Fatalf("%d wakes do not end a wait", wakes)
			}
			w.wait(0) // takes a wake that came after the end
		}
	})
}

// A line ends the wait, in which it is said; so do several at once, all of them.
func TestLinesEndTheWait(t *testing.T) {
	eachPoller(t, func(t *testing.T, _ string, newWaiter func(*relay) (waiter, error)) {
		const many = 10
		r := idleRelay(t)
		w := wait(t, r, newWaiter)
		c, err := net.Dial("udp", r.lines.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		said := make(chan error)
		go func() {
			var err error
			for err == nil && r.node.Stats().Sent < many {
				err = w.wait(time.Hour)
			}
			said <- err
		}()
		for range many {
			fmt.Fprint(c, "hello")
		}
		select {
		case err := <-said:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(clitest.Patience):
			t.Fatalf("of %d lines, %d were said in the wait", many, r.node.Stats().Sent)
		}
	})
}

func TestAProgramThatNobodyAnswersEndsAfterItsWaitOnly(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string, _ func(*relay) (waiter, error)) {
		silent := clitest.TakenAddress(t)
		p := start(t, "-seed", silent, "-wait", "300ms", "-poller", poller)
		if code, says := p.Wait(), p.Stderr.String(); code != 1 || !strings.HasPrefix(says, "eventloop: nobody answers at "+silent+" in 300ms: ") || strings.Count(says, "\n") != 1 {
			t.Errorf("a program that nobody answered ended with code %d, saying\n%s", code, says)
		}
		p = start(t, "-seed", silent, "-wait", "0", "-poller", poller)
		p.Stdout.Find(t, "takes lines")
		if code := p.Interrupt(); code != 0 {
			t.Errorf("a program that would wait for ever ended with code %d at an interrupt\n%s", code, &p.Stderr)
		}
	})
}

func TestAnOutputThatCannotBeWrittenIsTheEnd(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string, _ func(*relay) (waiter, error)) {
		clitest.Unwritable(t, "eventloop", run, "-seed", clitest.TakenAddress(t), "-wait", "0", "-poller", poller)
	})
}

func TestALookupEndsWithTheProgramAndItsWait(t *testing.T) {
	clitest.Nameless(t, "eventloop", run, "-listen", "127.0.0.1:0")
}

func TestMistakesAreToldInOneLine(t *testing.T) {
	taken := clitest.TakenAddress(t)
	const seed = "-seed=127.0.0.1:7070"
	clitest.Mistakes(t, "eventloop", run,
		clitest.Ends(1, "cannot listen on "+taken, seed, "-listen", taken),
		clitest.Ends(1, "cannot take lines at "+taken, seed, "-lines", taken),
		clitest.Ends(2, "-seed is missing"),
		clitest.Ends(1, "seed.invalid", "-seed", "seed.invalid:7070"),
		clitest.Ends(2, "port", "-seed", "127.0.0.1"),
		clitest.Ends(2, `"7070"`, seed, "-listen", "7070"),
		clitest.Ends(2, `"9090"`, seed, "-lines", "9090"),
		clitest.Ends(2, "-lines needs", seed, "-lines", ""),
		clitest.Ends(2, "-wait -1s", seed, "-wait", "-1s"),
		clitest.Ends(2, `-poller "select"`, seed, "-poller", "select"),
		clitest.Ends(2, "Cluster", seed, "-cluster", "\xff"),
		clitest.Ends(2, "-loud", seed, "-loud"),
		clitest.Ends(2, `"hello"`, seed, "hello"),
	)
	if runtime.GOOS != "linux" {
		clitest.Mistakes(t, "eventloop", run, clitest.Ends(2, "needs Linux", seed, "-poller", "epoll"))
	}
}

// One wake may stand for many lines: all that wait are taken by it.
func TestReceiveTakesAllLinesThatWait(t *testing.T) {
	const many = 10
	r := idleRelay(t)
	w := receiveWaiter{r, make(chan line, mostWaiting)}
	for range many {
		w.waiting <- line{text: []byte("hello")}
	}
	w.wake()
	if err := w.wait(time.Hour); err != nil || r.node.Stats().Sent != many {
		t.Errorf("after one wake %d of %d lines were said, %v", r.node.Stats().Sent, many, err)
	}
}
