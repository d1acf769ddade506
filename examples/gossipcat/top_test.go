package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"example.com/gossip"
	"example.com/gossip/examples/internal/clitest"
)

// member returns one at a round trip.
func member(t *testing.T, id int, rtt time.Duration) gossip.Member {
	t.Helper()
	a, err := gossip.ParseAddress(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(id)}), 7070).String())
	if err != nil {
		t.Fatal(err)
	}
	return gossip.Member{ID: gossip.NodeID(id), Address: a, RTT: rtt}
}

// twoLooks returns what a node is like before and after two seconds.
func twoLooks(t *testing.T) (before, now look) {
	t.Helper()
	now.at, now.id, now.state = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 1, gossip.StateConnected
	now.members = []gossip.Member{member(t, 5, 80*time.Millisecond), member(t, 4, 1234567), member(t, 3, 420*time.Microsecond), member(t, 2, 0)}
	now.address = now.members[0].Address
	now.stats = gossip.Stats{DatagramsIn: 120, Delivered: 50, Repaired: 7, DropTag: 2, DropBusy: 3, Members: 4, Lost: 1, QueuedData: 6, MembersLost: 2}
	before = now
	before.at = now.at.Add(-2 * time.Second)
	before.stats.DatagramsIn, before.stats.Repaired = 100, 6
	return before, now
}

func TestTopLineTellsWhatIsNew(t *testing.T) {
	before, now := twoLooks(t)
	const want = "2026-01-02T03:04:05Z state=CONNECTED members=4 rtt_least=420µs rtt_median=1.23ms rtt_most=80ms" +
		" in=10.0/s out=0.0/s bytes_in=0.0/s bytes_out=0.0/s sent=0.0/s delivered=0.0/s repaired=0.5/s relayed=0.0/s" +
		" duplicates=0.0/s retries=0.0/s dropped=0.0/s missed=0.0/s lost=0.0/s queued=6"
	if got := now.line(before); got != want {
		t.Errorf("the line is\n%s\nwant\n%s", got, want)
	}
	if got := now.line(now); !strings.Contains(got, " in=0.0/s") { // no time has passed
		t.Errorf("the first line is\n%s", got)
	}
	now.id = 99 // it left and joined again
	if got := now.line(before); !strings.Contains(got, " in=0.0/s") {
		t.Errorf("the first line of a new life is\n%s", got)
	}
}

func TestTopViewShowsANode(t *testing.T) {
	before, now := twoLooks(t)
	got := strings.Join(now.view(before, "a note", 100, 30), "\n")
	for _, want := range []string{
		"0000000000000001 at 10.0.0.5:7070 is CONNECTED at 03:04:05\n",
		"\n4 members, 1 lost and asked for; RTT 420µs to 80ms, median 1.23ms\n",
		"\na note\n",
		"a second    in all  RTT      address               member\n",
		"\ndatagrams in         10.0       120  80ms     10.0.0.5:7070         0000000000000005\n",
		"\nof these repaired     0.5         7",
		"\ndropped               0.0         5",
		"\nmembers lost          0.0         2",
		"  -        10.0.0.2:7070         0000000000000002\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the view lacks %q:\n%s", want, got)
		}
	}
}

// The view fits in the terminal, however small, and tells how many members it leaves out.
func TestTopViewFits(t *testing.T) {
	before, now := twoLooks(t)
	for i := range 200 {
		now.members = append(now.members, member(t, i, 0))
	}
	for columns := 0; columns < 120; columns += 7 {
		for rows := 1; rows < 40; rows++ {
			lines := now.view(before, "é, a long note "+strings.Repeat("…", 200), columns, rows)
			if len(lines) > rows {
				t.Errorf("in %d rows there are %d lines", rows, len(lines))
			}
			for _, line := range lines {
				if utf8.RuneCountInString(line) > columns {
					t.Errorf("in %d columns there is the line %q", columns, line)
				}
			}
		}
	}
	got := strings.Join(now.view(before, "", 100, 24), "\n")
	if !strings.Contains(got, "186 more") || strings.Count(got, "10.0.0.") != 1+18 {
		t.Errorf("in 24 rows the view of 204 members is\n%s", got)
	}
}

func TestTopPrintsLinesWhereThereIsNoTerminal(t *testing.T) {
	seed := runNode(t, func(gossip.NodeID, []byte) {})
	p := start(t, strings.NewReader("not read\n"), "-seed", seed.Address().String(), "-top")
	p.Stdout.Find(t, `(?m)^\S+Z state=CONNECTED members=1 rtt_least=\S+ .* queued=0\n`)
	if err := seed.SendData([]byte("a message")); err != nil {
		t.Fatal(err)
	}
	p.Stdout.Find(t, `(?m) delivered=(?:0\.[1-9]|[1-9]\.\d)/s `)
	if code := p.Interrupt(); code != 0 {
		t.Errorf("an interrupt ends it with code %d\n%s", code, &p.Stderr)
	}
	wantGoodbye(t, seed)
	if out := p.Stdout.String(); strings.Contains(out, "a message") || strings.Contains(out, "\x1b") {
		t.Errorf("beside the lines it printed\n%s", out)
	}
	if n := seed.Stats().Delivered; n > 0 {
		t.Errorf("it read its input and sent %d lines", n)
	}
}

func TestTopEndsWhenNobodyReadsIt(t *testing.T) {
	seed := runNode(t, func(gossip.NodeID, []byte) {})
	clitest.Unwritable(t, "gossipcat", func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		return run(ctx, append([]string{loopback}, args...), strings.NewReader(""), stdout, stderr)
	}, "-seed", seed.Address().String(), "-top")
	wantGoodbye(t, seed)
}

// On a terminal the view has a screen of its own, which is gone in the end.
func TestTopFillsATerminal(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the command script, which makes a terminal, has other options here")
	}
	for _, tool := range []string{"go", "script"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no terminal can be made: %v", err)
		}
	}
	bin := filepath.Join(t.TempDir(), "gossipcat")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("the program does not build: %v\n%s", err, out)
	}
	seed := runNode(t, func(gossip.NodeID, []byte) {})
	var screen clitest.Output
	cmd := exec.Command("script", "-qec", fmt.Sprintf("stty rows 20 columns 70; exec %s %s -seed %v -top", bin, loopback, seed.Address()), "/dev/null")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = &screen, &screen
	ends := process(t, cmd)
	screen.Find(t, `\x1b\[\?1049h`)
	screen.Find(t, `\x1b\[H[0-9a-f]{16} at .* is CONNECTED at [0-9:]{8}\x1b\[K\r\n1 members, 0 lost`)
	if _, err := io.WriteString(stdin, "\x03"); err != nil { // Ctrl-C, as the terminal has it
		t.Fatal(err)
	}
	if code := ends(); code != 0 {
		t.Errorf("at Ctrl-C it ends with code %d", code)
	}
	screen.Find(t, `\x1b\[\?1049l$`)
	wantGoodbye(t, seed)
}
