package memnet_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/examples/memnet"
)

// reach returns which of three nodes, a, b and c, reach which others.
func reach(t *testing.T, conns []*memnet.Conn) (links string) {
	t.Helper()
	for i, from := range conns {
		for j, to := range conns {
			if i != j && trip(t, from, to) >= 0 {
				links += fmt.Sprintf("%c%c ", 'a'+i, 'a'+j)
			}
		}
	}
	return links
}

func TestNetCuts(t *testing.T) {
	const all = "ab ac ba bc ca cb "
	a, b, c := address(0), address(1), address(2)
	group := func(addrs ...netip.AddrPort) []netip.AddrPort { return addrs }
	mapped := netip.MustParseAddrPort("[::ffff:10.0.0.1]:7070") // a
	for _, story := range []struct {
		name string
		do   func(*memnet.Net)
		want string
	}{
		{"nothing", func(n *memnet.Net) {}, all},
		{"a partition of nothing", func(n *memnet.Net) { n.Partition() }, all},
		{"a group and the rest", func(n *memnet.Net) { n.Partition(group(a)) }, "bc cb "},
		{"a group and the rest of one", func(n *memnet.Net) { n.Partition(group(a, b)) }, "ab ba "},
		{"two groups and the rest", func(n *memnet.Net) { n.Partition(group(a), group(b)) }, ""},
		{"all in a group", func(n *memnet.Net) { n.Partition(group(a, b, c)) }, all},
		{"an address named twice", func(n *memnet.Net) { n.Partition(group(a, a)) }, "bc cb "},
		{"a mapped address", func(n *memnet.Net) { n.Partition(group(mapped)) }, "bc cb "},
		{"a second partition", func(n *memnet.Net) { n.Partition(group(a)); n.Partition(group(b)) }, "ac ca "},
		{"one way", func(n *memnet.Net) { n.Cut(a, b) }, "ac ba bc ca cb "},
		{"both ways", func(n *memnet.Net) { n.Cut(a, b); n.Cut(b, mapped) }, "ac bc ca cb "},
		{"down", func(n *memnet.Net) { n.Down(a) }, "bc cb "},
		{"two down", func(n *memnet.Net) { n.Down(mapped); n.Down(b) }, ""},
		{"up again", func(n *memnet.Net) { n.Down(a); n.Down(b); n.Up(mapped) }, "ac ca "},
		{"up beside a partition", func(n *memnet.Net) { n.Down(a); n.Partition(group(b)); n.Up(a) }, "ac ca "},
		{"healed", func(n *memnet.Net) { n.Partition(group(a)); n.Cut(a, b); n.Down(c); n.Heal() }, all},
	} {
		t.Run(story.name, func(t *testing.T) {
			inBubble(t, memnet.Config{LatencyMin: ms, LatencyMax: ms}, func(t *testing.T, network *memnet.Net, first, second *memnet.Conn) {
				conns := []*memnet.Conn{first, second, listen(t, network, 2)}
				story.do(network)
				if got := reach(t, conns); got != story.want {
					t.Errorf("the nodes reach %q, want %q", got, story.want)
				}
			})
		})
	}
}

// A cut stops what is in flight if it is there when that arrives, and only then.
func TestNetCutsWhatIsInFlight(t *testing.T) {
	for _, c := range []struct {
		begins, ends time.Duration // after the datagram was sent; it takes 10 ms
		arrives      bool
	}{{0, 20 * ms, false}, {5 * ms, 20 * ms, false}, {10*ms - 1, 20 * ms, false}, {10 * ms, 20 * ms, true}, {11 * ms, 20 * ms, true}, {2 * ms, 5 * ms, true}} {
		for name, cut := range map[string]func(*memnet.Net){
			"Partition": func(n *memnet.Net) { n.Partition([]netip.AddrPort{address(0)}) },
			"Cut":       func(n *memnet.Net) { n.Cut(address(0), address(1)) },
			"Down":      func(n *memnet.Net) { n.Down(address(1)) },
		} {
			inBubble(t, memnet.Config{LatencyMin: 10 * ms, LatencyMax: 10 * ms}, func(t *testing.T, network *memnet.Net, a, b *memnet.Conn) {
				send(t, a, "x", b)
				time.Sleep(c.begins)
				cut(network)
				time.Sleep(c.ends - c.begins)
				network.Heal()
				b.SetReadDeadline(time.Now().Add(time.Second))
				if err := readFrom(b); (err == nil) != c.arrives {
					t.Errorf("with %s from %v to %v after sending, the datagram arrives: %v, want %v", name, c.begins, c.ends, err == nil, c.arrives)
				}
			})
		}
	}
}

func TestNetPartitionRefusesAnAddressInTwoGroups(t *testing.T) {
	network := memnet.New(memnet.Config{})
	defer func() {
		if recover() == nil {
			t.Error("Partition took an address in two groups")
		}
		if trip(t, listen(t, network, 0), listen(t, network, 1)) < 0 {
			t.Error("Partition changed something before it refused an address in two groups")
		}
	}()
	network.Partition([]netip.AddrPort{address(0)}, []netip.AddrPort{address(1), address(0)})
}
