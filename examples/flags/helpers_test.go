package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
	"example.com/gossip/examples/memnet"
)

const ms = time.Millisecond

// address is that of the nth node that starts.
func address(n int) netip.AddrPort {
	return netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:7070", n))
}

// cluster is replicas in a bubble, whose time is virtual: its sleeps take no time of the test.
type cluster struct {
	t       *testing.T
	seed    uint64
	network *memnet.Net
	started int
}

// inBubble runs a test with each seed, on a network that loses a share of the datagrams.
func inBubble(t *testing.T, seeds uint64, loss float64, test func(t *testing.T, c *cluster)) {
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed)
			synctest.Test(t, func(t *testing.T) {
				network := memnet.New(memnet.Config{Seed: seed, LatencyMin: 5 * ms, LatencyMax: 15 * ms, Loss: loss})
				test(t, &cluster{t: t, seed: seed, network: network})
			})
		})
	}
}

// life is a replica from its start to its end.
type life struct {
	*replica
	t    *testing.T
	addr netip.AddrPort
	end  func() // as an interrupt does
}

// start starts a replica that joins the others, or the first one if there are none.
func (c *cluster) start(others ...*life) *life {
	c.t.Helper()
	addr, listen, conn := c.listen()
	// Nodes retain few of the flags, so that a replica that starts has to ask for them.
	r, err := newReplica(listen, len(others) == 0, gossip.Config{Conn: conn, DataLogSize: 16 << 10})
	if err != nil {
		c.t.Fatal(err)
	}
	var seeds cli.Seeds
	for _, o := range others {
		seeds = append(seeds, o.addr.String())
	}
	return c.run(&life{replica: r, t: c.t, addr: addr}, func(ctx context.Context) error {
		defer r.node.Close()
		return r.run(ctx, seeds, func(err error) { c.t.Errorf("seed %d: a replica cannot join: %v", c.seed, err) })
	})
}

// message is what a node may answer with.
type message interface{ append([]byte) []byte }

// fake starts a node that is no replica, and answers each ask in its own way.
func (c *cluster) fake(answer func(ask) []message) (l *life, asked *atomic.Uint64) {
	c.t.Helper()
	addr, listen, conn := c.listen()
	asked = new(atomic.Uint64)
	var node *gossip.GossipService
	node, err := gossip.New(listen, func(origin gossip.NodeID, payload []byte) {
		m, _ := parse(payload)
		if a, ok := m.(ask); ok {
			asked.Add(1)
			to, _ := node.Member(origin)
			for _, m := range answer(a) {
				node.SendData(m.append(nil), gossip.Direct(to.Address))
			}
		}
	}, gossip.Config{Conn: conn, MaxMessageSize: messageSize})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := node.Join(); err != nil {
		c.t.Fatal(err)
	}
	return c.run(&life{addr: addr}, func(ctx context.Context) error {
		defer node.Close()
		return node.Run(ctx)
	}), asked
}

func (c *cluster) listen() (netip.AddrPort, gossip.Address, *memnet.Conn) {
	c.t.Helper()
	c.started++
	addr := address(c.started)
	conn, err := c.network.Listen(addr)
	if err != nil {
		c.t.Fatal(err)
	}
	listen, err := gossip.ParseAddress(addr.String())
	if err != nil {
		c.t.Fatal(err)
	}
	return addr, listen, conn
}

// run runs a node until its end, or that of the test.
func (c *cluster) run(l *life, run func(ctx context.Context) error) *life {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil {
			c.t.Errorf("seed %d: %v fails: %v", c.seed, l.addr, err)
		}
	}()
	l.end = func() { cancel(); <-ended }
	c.t.Cleanup(l.end)
	synctest.Wait() // it has joined, or asks its seeds
	return l
}

// until waits until cond holds, a minute at most.
// Clusters live in a bubble of testing/synctest: a sleep there is virtual time, which goes on only
// when every goroutine waits.
func (c *cluster) until(what string, cond func() bool) {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(20 * ms) {
		if time.Now().After(end) {
			c.t.Fatalf("seed %d: after a minute it does not hold that %s", c.seed, what)
		}
	}
}

// startSynced starts replicas and waits until they are synced.
func (c *cluster) startSynced(n int) []*life {
	c.t.Helper()
	all := []*life{c.start()}
	for len(all) < n {
		all = append(all, c.start(all[0]))
	}
	c.until("all replicas are synced", func() bool { return count(all, func(l *life) bool { return l.synced.Load() }) == n })
	return all
}

// agree waits until all replicas hold the same, of so many flags with a value.
func (c *cluster) agree(all []*life, flags int) {
	c.t.Helper()
	c.until(fmt.Sprintf("%d replicas hold the same %d flags", len(all), flags), func() bool {
		return count(all, func(l *life) bool { return l.store.digest() == all[0].store.digest() && len(l.store.values()) == flags }) == len(all)
	})
}

func count(all []*life, holds func(*life) bool) (n int) {
	for _, l := range all {
		if holds(l) {
			n++
		}
	}
	return n
}

// ask hands a request to the replica's handler.
func (r *replica) ask(method, path, body string) (code int, text string) {
	w := httptest.NewRecorder()
	r.handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

// set writes a flag, which is to be accepted.
func (l *life) set(name, value string) {
	l.t.Helper()
	if code, text := l.ask("PUT", "/flags/"+name, value); code != 204 {
		l.t.Fatalf("PUT of %s at %v is answered with %d %s", name, l.addr, code, text)
	}
}

// shows fails the test unless a GET is answered in this way.
func (l *life) shows(path string, code int, text string) {
	l.t.Helper()
	if gotCode, got := l.ask("GET", path, ""); gotCode != code || !strings.Contains(got, text) {
		l.t.Errorf("GET %s at %v is answered with %d %.80q, want %d %q", path, l.addr, gotCode, got, code, text)
	}
}
