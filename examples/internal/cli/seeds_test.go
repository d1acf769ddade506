package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.com/gossip"
)

func TestSeedsAreAddressesOrNamesWithAPort(t *testing.T) {
	var s Seeds
	for _, text := range []string{"127.0.0.1:7070,[::1]:7070", "node.example:7070", "/ip4/127.0.0.1/udp/7070"} {
		if err := s.Set(text); err != nil {
			t.Errorf("%q was refused: %v", text, err)
		}
	}
	if got, want := s.String(), "127.0.0.1:7070,[::1]:7070,node.example:7070,/ip4/127.0.0.1/udp/7070"; got != want {
		t.Errorf("the seeds are %q instead of %q", got, want)
	}
	for _, text := range []string{"", ",", "node.example", "node.example:", "node.example:0", "node.example:65536", ":7070", "a b:7070", "/dns/node.example/udp/7070", "a:1,", "a\nb:1",
		"127.0.0.1:0", "0.0.0.0:7070", "[::]:7070", "224.0.0.1:7070", "255.255.255.255:7070", "127.0.0.1:7070,[::1]:0"} {
		if err := s.Set(text); !errors.Is(err, gossip.ErrAddress) {
			t.Errorf("%q was taken for seeds: %v", text, err)
		}
	}
}

// book is a Lookup in which nothing else is found.
type book map[string][]string

func (b book) lookup(_ context.Context, _, host string) (ips []netip.Addr, err error) {
	found, ok := b[host]
	if !ok {
		return nil, fmt.Errorf("lookup %s: no such host", host)
	}
	for _, text := range found {
		ips = append(ips, netip.MustParseAddr(text))
	}
	return ips, nil
}

func TestNamesStandForAllTheirAddressesOnce(t *testing.T) {
	names := book{"a": {"192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1"}, "b": {"192.0.2.2", "0.0.0.0", "::", "ff02::1"}, "empty": nil, "blocked": {"0.0.0.0"}}
	got, err := Seeds{"a:1", "missing:1", "192.0.2.9:2", "b:1"}.Resolve(t.Context(), names.lookup)
	if want := "[192.0.2.1:1 192.0.2.2:1 [2001:db8::1]:1 192.0.2.9:2]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("the seeds stand for %v, %v instead of %s", got, err, want)
	}
	for _, name := range []string{"missing", "empty", "blocked"} {
		if got, err := (Seeds{name + ":1"}).Resolve(t.Context(), names.lookup); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("a name without an address stands for %v, and the error is %v", got, err)
		}
	}
	for i := range 2 * mostSeeds {
		names["many"] = append(names["many"], fmt.Sprintf("192.0.2.%d", i))
	}
	if got, _ := (Seeds{"many:1"}).Resolve(t.Context(), names.lookup); len(got) != mostSeeds {
		t.Errorf("a name with %d addresses stands for %d instead of %d", 2*mostSeeds, len(got), mostSeeds)
	}
	if got, err := (Seeds{}).Resolve(t.Context(), names.lookup); len(got) > 0 || err != nil {
		t.Errorf("no seeds stand for %v, %v", got, err)
	}
}

// loopback is where all nodes of the tests listen.
func loopback(t *testing.T) gossip.Address {
	t.Helper()
	a, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// runNode returns a node that turns its loop until the test ends.
func runNode(t *testing.T, config gossip.Config) *gossip.GossipService {
	t.Helper()
	node, err := gossip.New(loopback(t), func(gossip.NodeID, []byte) {}, config)
	if err != nil {
		t.Fatal(err)
	}
	run(t, node)
	return node
}

// run turns the loop of a node until the test ends, and closes it.
func run(t *testing.T, node *gossip.GossipService) {
	ended := make(chan error)
	go func() { ended <- node.Run(t.Context()) }()
	t.Cleanup(func() { node.Close(); <-ended })
}

// await waits until cond holds.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for limit := time.After(time.Minute); !cond(); {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("after a minute it does not hold that %s", what)
		}
	}
}

// A node that is alone finds the cluster where its name points later; one that knows
// too many old addresses, too.
func TestNamesAreResolvedAgainWhileTheNodeIsAlone(t *testing.T) {
	seed := runNode(t, gossip.Config{})
	if err := seed.Join(); err != nil {
		t.Fatal(err)
	}
	node := runNode(t, gossip.Config{MaxMembers: 9})
	port := seed.Address().AddrPort().Port()
	asked := make(chan []string)
	lookup := func(ctx context.Context, _, host string) ([]netip.Addr, error) {
		select {
		case found := <-asked:
			return book{host: found}.lookup(ctx, "ip", host)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tick, problems, done := make(chan time.Time), make(chan error, 100), make(chan bool)
	go func() {
		Seeds{fmt.Sprintf("cluster.example:%d", port)}.KeepJoined(ctx, node, lookup, tick, func(err error) { problems <- err })
		close(done)
	}()
	for round := range byte(startRounds + 3) { // each time it stands for another node, which is gone
		asked <- []string{fmt.Sprintf("127.1.1.%d", round)}
		tick <- time.Time{}
	}
	asked <- nil
	tick <- time.Time{}
	select {
	case err := <-problems:
		if !strings.Contains(err.Error(), "no address") {
			t.Errorf("a name without an address is told as %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("nobody is told of a name without an address")
	}
	asked <- []string{"127.0.0.1"}
	await(t, "the node is not alone", func() bool { return len(node.Members()) > 0 })
	for ticks, again := 0, false; !again; { // it is not alone, and asks rarely
		select {
		case asked <- []string{"127.0.0.1"}:
			if again = true; ticks < 2 {
				t.Errorf("a node that is not alone resolves its seeds again after %d ticks", ticks)
			}
		case tick <- time.Time{}:
			if ticks++; ticks > calmRounds {
				t.Fatalf("a node that is not alone did not resolve its seeds again in %d ticks", ticks)
			}
		}
	}
	cancel()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the end of its context does not end it")
	}
}
