package memnet_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/memnet"
)

// A test runs its nodes in a bubble, whose time is virtual. This one is the package comment's.
func TestFlagReachesEveryReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New(memnet.Config{LatencyMin: 5 * time.Millisecond, LatencyMax: 15 * time.Millisecond, Loss: 0.01})
		var loops sync.WaitGroup
		t.Cleanup(loops.Wait) // Run ends with t.Context
		nodes, flags := make([]*gossip.GossipService, 3), make(chan string, 2)
		for i := range nodes {
			conn, err := network.Listen(netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:7070", i+1)))
			if err != nil {
				t.Fatal(err)
			}
			nodes[i], err = gossip.New(gossip.Address{}, func(_ gossip.NodeID, payload []byte) {
				flags <- string(payload)
			}, gossip.Config{Conn: conn})
			if err != nil {
				t.Fatal(err)
			}
			loops.Go(func() { nodes[i].Run(t.Context()) })
		}
		nodes[0].Join() // a seed
		nodes[1].Join(nodes[0].Address())
		nodes[2].Join(nodes[0].Address())
		for _, node := range nodes {
			node.WaitForMember(t.Context())
		}

		nodes[0].SendData([]byte("dark-mode on"))
		for range 2 {
			if flag := <-flags; flag != "dark-mode on" {
				t.Errorf("the flag of a replica is %q", flag)
			}
		}
	})
}

// Ten nodes run for an hour, and each sends a flag every ten minutes.
func TestTenNodesRunForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seed = 1
		network := memnet.New(memnet.Config{
			Seed: seed, LatencyMin: 5 * time.Millisecond, LatencyMax: 15 * time.Millisecond, Loss: 0.01,
		})
		received := make([]int, 10)
		nodes := cluster(t, network, len(received), func(i int, _ []byte) { received[i]++ })

		for minute := range 60 {
			if err := nodes[minute%len(nodes)].SendData(fmt.Appendf(nil, "flag %d on", minute)); err != nil {
				t.Fatalf("seed %d: node %d does not send after %d minutes: %v", seed, minute%len(nodes), minute, err)
			}
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		for i, n := range received {
			if n != 54 { // all but its own 6
				t.Errorf("seed %d: node %d received %d flags, want the 54 of the others", seed, i, n)
			}
		}
	})
}

// cluster runs nodes until the end of the test, and waits in the bubble until they have met.
func cluster(t *testing.T, network *memnet.Net, size int, receiver func(i int, payload []byte)) []*gossip.GossipService {
	t.Helper()
	var loops sync.WaitGroup
	t.Cleanup(loops.Wait)
	nodes := make([]*gossip.GossipService, size)
	for i := range nodes {
		conn, err := network.Listen(address(i))
		if err != nil {
			t.Fatal(err)
		}
		nodes[i], err = gossip.New(gossip.Address{}, func(_ gossip.NodeID, payload []byte) {
			receiver(i, payload)
		}, gossip.Config{Conn: conn})
		if err != nil {
			t.Fatal(err)
		}
		loops.Go(func() { nodes[i].Run(t.Context()) })
		synctest.Wait()
		if i == 0 {
			err = nodes[i].Join()
		} else {
			err = nodes[i].Join(nodes[0].Address())
		}
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	}
	time.Sleep(5 * time.Second)
	synctest.Wait()
	for i, node := range nodes {
		if n := len(node.Members()); n != size-1 {
			t.Fatalf("node %d has %d members after 5 seconds, want the other %d", i, n, size-1)
		}
	}
	return nodes
}

// Outside of a bubble a Net works in real time.
func ExampleNet() {
	network := memnet.New(memnet.Config{LatencyMax: time.Millisecond})
	received := make(chan string)
	run := func(addr string) *gossip.GossipService {
		conn, err := network.Listen(netip.MustParseAddrPort(addr))
		if err != nil {
			log.Fatal(err)
		}
		node, err := gossip.New(gossip.Address{}, func(_ gossip.NodeID, payload []byte) {
			received <- string(payload)
		}, gossip.Config{Conn: conn})
		if err != nil {
			log.Fatal(err)
		}
		go node.Run(context.Background())
		return node
	}
	a, b := run("10.0.0.1:7070"), run("10.0.0.2:7070")
	defer a.Close()
	defer b.Close()
	a.Join()
	b.Join(a.Address())
	a.SendData([]byte("dark-mode on"))
	fmt.Println(<-received)
	// Output: dark-mode on
}

func ExampleNet_Partition() {
	network := memnet.New(memnet.Config{})
	a, err := network.Listen(netip.MustParseAddrPort("10.0.0.1:7070"))
	if err != nil {
		log.Fatal(err)
	}
	b, err := network.Listen(netip.MustParseAddrPort("10.0.0.2:7070"))
	if err != nil {
		log.Fatal(err)
	}
	a.WriteTo([]byte("before"), b.LocalAddr())
	network.Partition([]netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:7070")}) // and the rest
	a.WriteTo([]byte("while"), b.LocalAddr())
	network.Heal()
	a.WriteTo([]byte("after"), b.LocalAddr())

	buf := make([]byte, 100)
	for range 2 {
		n, _, err := b.ReadFrom(buf)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", buf[:n])
	}
	fmt.Println(network.Counts().Cut, "was cut")
	// Output:
	// before
	// after
	// 1 was cut
}

func TestPackageCommentShowsATestThatIsRun(t *testing.T) {
	source, err := os.ReadFile("memnet.go")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, _, _ := strings.Cut(string(source), "\npackage memnet")
	var code strings.Builder
	for line := range strings.Lines(comment) {
		if text, ok := strings.CutPrefix(line, "//\t"); ok {
			code.WriteString(text)
		} else if line == "//\n" {
			code.WriteString("\n")
		}
	}
	if shown := strings.TrimSpace(code.String()); shown == "" || !strings.Contains(string(tests), shown) {
		t.Errorf("example_test.go has no such test as the package comment shows:\n%s", shown)
	}
}
