package simnet_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
)

// gossip runs 20 nodes that pass rumours on over a bad network and returns all
// that happened, one line an event.
func gossip(t *testing.T, seed uint64, disturb bool) string {
	n := simnet.New(simnet.Config{
		Seed:         seed,
		LatencyMin:   time.Millisecond,
		LatencyMax:   20 * time.Millisecond,
		Loss:         0.1,
		Duplicate:    0.1,
		Reorder:      0.1,
		ReorderDelay: 50 * time.Millisecond,
	})
	var tape strings.Builder
	n.SetTap(func(e simnet.Event) {
		fmt.Fprintf(&tape, "%v %v %v %v %s\n", e.Time, e.Kind, e.From, e.To, e.Payload)
	})
	const nodes = 20
	buf := make([]byte, 100)
	for i := range nodes {
		e := listen(t, n, i)
		e.OnReadable(func() {
			size, _, _ := e.Receive(buf, 0)
			if disturb {
				n.Rand().Uint64()
			}
			send(t, e, (i*7+3)%nodes, string(buf[:size]))
		})
		n.After(time.Duration(i)*time.Millisecond, func() { send(t, e, i+1, fmt.Sprint("rumour ", i)) })
	}
	n.After(300*time.Millisecond, func() { n.Partition([]netip.AddrPort{node(0)}, []netip.AddrPort{node(3)}) })
	n.Run(time.Second)
	return tape.String()
}

func TestSameSeedReplaysTheRun(t *testing.T) {
	first := gossip(t, seed, false)
	if lines := strings.Count(first, "\n"); lines < 200 {
		t.Fatalf("seed %d: only %d events happened, too few to compare runs", seed, lines)
	}
	if gossip(t, seed, false) != first {
		t.Errorf("seed %d: a second run with the same seed went another way", seed)
	}
	if gossip(t, seed, true) != first {
		t.Errorf("seed %d: the run went another way because the test drew from Rand", seed)
	}
	if gossip(t, seed+1, false) == first {
		t.Errorf("seed %d: a run with seed %d went exactly the same way", seed, seed+1)
	}
	if simnet.New(simnet.Config{Seed: seed}).Rand().Uint64() != simnet.New(simnet.Config{Seed: seed}).Rand().Uint64() {
		t.Errorf("seed %d: Rand of two networks with the same seed differs", seed)
	}
}

func TestLossTakesItsShare(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed, Loss: 0.3})
	a, b := listen(t, n, 1), listen(t, n, 2)
	const sent = 10_000
	b.SetInbox(sent)
	for range sent {
		send(t, a, 2, "hello")
	}
	n.Run(0)
	got := len(drain(t, b))
	if share := 1 - float64(got)/sent; math.Abs(share-0.3) > 0.02 {
		t.Errorf("seed %d: %.3f of the datagrams were lost, want about 0.3", seed, share)
	}
	datagrams(t, "sent", n.Count(simnet.Sent), sent)
	datagrams(t, "delivered", n.Count(simnet.Delivered), uint64(got))
	datagrams(t, "lost", n.Count(simnet.Lost), uint64(sent-got))
	if n.Count(simnet.Lost).Bytes != 5*n.Count(simnet.Lost).Datagrams {
		t.Errorf("seed %d: %d bytes were lost in %d datagrams of 5 bytes", seed, n.Count(simnet.Lost).Bytes, n.Count(simnet.Lost).Datagrams)
	}

	n.SetLoss(1)
	send(t, a, 2, "hello")
	n.Run(0)
	if got := drain(t, b); got != nil {
		t.Errorf("seed %d: %q arrived although everything is lost", seed, got)
	}
}

func TestPathAddsToTheLatency(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed, LatencyMin: time.Millisecond, LatencyMax: time.Millisecond})
	a, b := listen(t, n, 1), listen(t, n, 2)
	n.SetPath(func(from, to netip.AddrPort) time.Duration {
		if from == a.LocalAddr() && to == b.LocalAddr() {
			return 9 * time.Millisecond
		}
		return 0
	})
	send(t, a, 2, "there")
	send(t, b, 1, "and back")
	n.Run(time.Millisecond)
	if got := drain(t, a); len(got) != 1 {
		t.Errorf("seed %d: after a latency of 1 ms %q arrived by a path that adds nothing", seed, got)
	}
	n.Run(9*time.Millisecond - 1)
	if got := drain(t, b); got != nil {
		t.Errorf("seed %d: %q arrived sooner than after 1 ms and the 9 ms of its path", seed, got)
	}
	n.Run(1)
	if got := drain(t, b); len(got) != 1 {
		t.Errorf("seed %d: %q arrived after 1 ms and the 9 ms of the path", seed, got)
	}
}

func TestLatencyStaysInItsBounds(t *testing.T) {
	const low, high = 5 * time.Millisecond, 15 * time.Millisecond
	n := simnet.New(simnet.Config{Seed: seed})
	n.SetLatency(low, high)
	a, b := listen(t, n, 1), listen(t, n, 2)
	shortest, longest := time.Hour, time.Duration(0)
	var sentAt time.Duration
	b.OnReadable(func() {
		took := n.Now() - sentAt
		shortest, longest = min(shortest, took), max(longest, took)
	})
	for range 1000 {
		sentAt = n.Now()
		send(t, a, 2, "hello")
		n.Run(high)
	}
	datagrams(t, "delivered within the greatest latency", n.Count(simnet.Delivered), 1000)
	if shortest < low || longest > high {
		t.Errorf("seed %d: latencies were %v to %v, outside %v to %v", seed, shortest, longest, low, high)
	}
	if shortest > low+time.Millisecond || longest < high-time.Millisecond {
		t.Errorf("seed %d: latencies were only %v to %v, of %v to %v", seed, shortest, longest, low, high)
	}
}

func TestReorderReorders(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed, LatencyMin: time.Millisecond, LatencyMax: time.Millisecond})
	a, b := listen(t, n, 1), listen(t, n, 2)
	burst := func() []string {
		for i := range 100 {
			send(t, a, 2, fmt.Sprintf("%02d", i))
		}
		n.Run(12 * time.Millisecond)
		return drain(t, b)
	}
	if got := burst(); len(got) != 100 || !slices.IsSorted(got) {
		t.Errorf("seed %d: without reordering, the datagrams did not arrive as sent: %v", seed, got)
	}
	n.SetReorder(0.2, 10*time.Millisecond)
	got := burst()
	if slices.IsSorted(got) {
		t.Errorf("seed %d: with reordering, the datagrams arrived in order", seed)
	}
	if len(got) != 100 {
		t.Errorf("seed %d: with reordering, %d of 100 datagrams arrived in time", seed, len(got))
	}
}

func TestDuplicateArrivesTwice(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed, Duplicate: 1})
	a, b := listen(t, n, 1), listen(t, n, 2)
	send(t, a, 2, "hello")
	n.Run(0)
	if got := drain(t, b); !slices.Equal(got, []string{"hello", "hello"}) {
		t.Errorf("seed %d: a duplicated datagram arrived as %q", seed, got)
	}
	n.SetDuplicate(0.25)
	for range 4000 {
		send(t, a, 2, "hello")
		n.Run(0)
		drain(t, b)
	}
	if more := n.Count(simnet.Duplicated).Datagrams - 1; more < 900 || more > 1100 {
		t.Errorf("seed %d: %d of 4000 datagrams were duplicated, want about 1000", seed, more)
	}
	datagrams(t, "delivered", n.Count(simnet.Delivered), n.Count(simnet.Sent).Datagrams+n.Count(simnet.Duplicated).Datagrams)
}

func TestPartitionSplitsAndHeals(t *testing.T) {
	const latency = 10 * time.Millisecond
	n := simnet.New(simnet.Config{Seed: seed, LatencyMin: latency, LatencyMax: latency})
	var ends []*simnet.Endpoint
	for i := range 4 {
		ends = append(ends, listen(t, n, i))
	}
	left, right := []netip.AddrPort{node(0), node(1)}, []netip.AddrPort{node(2)}

	send(t, ends[0], 2, "in flight")
	n.Run(latency / 2)
	n.Partition(left, right)
	for i := 1; i < 4; i++ {
		send(t, ends[0], i, "from 0")
	}
	send(t, ends[3], 2, "from 3")
	n.Run(latency)
	for i, want := range [][]string{nil, {"from 0"}, {"from 3"}, {"from 0"}} {
		if got := drain(t, ends[i]); !slices.Equal(got, want) {
			t.Errorf("seed %d: while 0 and 1 are apart from 2, node %d got %q, want %q", seed, i, got, want)
		}
	}
	datagrams(t, "blocked, one in flight and one when sent", n.Count(simnet.Blocked), 2)

	n.Heal()
	send(t, ends[2], 0, "together")
	n.Run(latency)
	if got := drain(t, ends[0]); !slices.Equal(got, []string{"together"}) {
		t.Errorf("seed %d: after the partition healed, node 0 got %q", seed, got)
	}
}

func TestFilterCutsOneWay(t *testing.T) {
	const latency = 10 * time.Millisecond
	n := simnet.New(simnet.Config{Seed: seed, LatencyMin: latency, LatencyMax: latency})
	a, b := listen(t, n, 1), listen(t, n, 2)
	send(t, a, 2, "in flight")
	n.SetFilter(func(from, to netip.AddrPort) bool { return from != node(1) })
	send(t, a, 2, "there")
	send(t, b, 1, "back")
	n.Run(latency)
	if got := drain(t, b); got != nil {
		t.Errorf("seed %d: the filter cuts 1 off from 2, and yet %q arrived", seed, got)
	}
	if got := drain(t, a); !slices.Equal(got, []string{"back"}) {
		t.Errorf("seed %d: the filter leaves the way from 2 to 1, and yet %q arrived", seed, got)
	}
	datagrams(t, "blocked", n.Count(simnet.Blocked), 2)

	n.SetFilter(nil)
	send(t, a, 2, "there")
	n.Run(latency)
	if got := drain(t, b); !slices.Equal(got, []string{"there"}) {
		t.Errorf("seed %d: without the filter, %q arrived", seed, got)
	}
}

func TestMisusePanics(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	e := listen(t, n, 1)
	for what, misuse := range map[string]func(){
		"a negative loss":         func() { n.SetLoss(-0.1) },
		"a loss that is NaN":      func() { n.SetLoss(math.NaN()) },
		"a duplicate above 1":     func() { n.SetDuplicate(1.1) },
		"a reorder above 1":       func() { n.SetReorder(2, 0) },
		"a negative delay":        func() { n.SetReorder(0, -1) },
		"a negative latency":      func() { n.SetLatency(-1, 0) },
		"a latency upside down":   func() { n.SetLatency(2, 1) },
		"a negative inbox":        func() { e.SetInbox(-1) },
		"an address in 2 groups":  func() { n.Partition([]netip.AddrPort{node(1)}, []netip.AddrPort{node(1)}) },
		"a run within the run":    func() { n.After(0, func() { n.Run(0) }); n.Run(0) },
		"a Config out of a range": func() { simnet.New(simnet.Config{Loss: 2}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("seed %d: %s did not panic", seed, what)
				}
			}()
			misuse()
		}()
	}
}
