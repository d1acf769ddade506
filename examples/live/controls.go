package main

import (
	"errors"
	"fmt"
	"time"

	"example.com/gossip"
)

const (
	mostLoss    = 90 // percent
	mostLatency = 2 * time.Second
	payloadSize = 100 // bytes of a message, padded with spaces

	anyNode = -1 // lets the cluster choose a node
)

// errRefused is wrapped by the error of a control about an invalid value.
var errRefused = errors.New("refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errRefused}, args...)...)
}

// send spreads a message from one node and returns its number. spread is "broadcast",
// "random" or "direct"; only the last uses to.
func (c *cluster) send(from int, spread string, to int) (number int, err error) {
	err = c.do(func() error {
		number, err = c.spread(from, spread, to)
		return err
	})
	return number, err
}

// spread is send, on the goroutine of the loop.
func (c *cluster) spread(from int, spread string, to int) (number int, err error) {
	origin, err := c.choose(from, nil)
	if err != nil {
		return 0, err
	}
	how, target := gossip.Broadcast, (*node)(nil)
	switch spread {
	case "broadcast":
	case "random":
		how = gossip.Random
	case "direct":
		if target, err = c.choose(to, origin); err != nil {
			return 0, err
		}
		how = gossip.Direct(address(target.addr))
	default:
		return 0, refuse("%q is not a spread: use broadcast, random or direct", spread)
	}
	m := c.trace.compose(origin, spread, target)
	if err := origin.SendData(m.payload, how); err != nil {
		return 0, refuse("node %d does not accept the message: %v", origin.index, err)
	}
	c.trace.said(m)
	c.wakeAt(origin, c.now())
	return m.number, nil
}

// choose returns a running node other than except, for anyNode a random one.
func (c *cluster) choose(index int, except *node) (*node, error) {
	if index != anyNode {
		n, err := c.at(index)
		switch {
		case err != nil:
			return nil, err
		case !n.running():
			return nil, refuse("node %d is down", index)
		case n == except:
			return nil, refuse("node %d cannot send to itself", index)
		}
		return n, nil
	}
	running := c.running(except)
	if len(running) == 0 {
		return nil, refuse("no such node is running")
	}
	return running[c.rng.IntN(len(running))], nil
}

// running returns the running nodes other than except.
func (c *cluster) running(except *node) (nodes []*node) {
	for _, n := range c.nodes {
		if n.running() && n != except {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (c *cluster) at(index int) (*node, error) {
	if index < 0 || index >= len(c.nodes) {
		return nil, refuse("there is no node %d: they are 0 to %d", index, len(c.nodes)-1)
	}
	return c.nodes[index], nil
}

// crash ends the life of a node without a goodbye.
func (c *cluster) crash(index int) error {
	return c.do(func() error {
		n, err := c.choose(index, nil)
		if err != nil {
			return err
		}
		return n.Close()
	})
}

// crashShare crashes that percentage of the running nodes at once, and returns how many these
// were.
func (c *cluster) crashShare(percent int) (crashed int, err error) {
	err = c.do(func() error {
		if percent < 1 || percent > 100 {
			return refuse("%d %% is not a share: use 1 to 100", percent)
		}
		running := c.running(nil)
		crashed = (len(running)*percent + 99) / 100
		for _, i := range c.rng.Perm(len(running))[:crashed] {
			running[i].Close()
		}
		return nil
	})
	return crashed, err
}

// restart begins a new life of a node that is down, or for anyNode of all such nodes, and
// returns how many these were.
func (c *cluster) restart(index int) (restarted int, err error) {
	err = c.do(func() error {
		nodes := c.nodes
		if index != anyNode {
			n, err := c.at(index)
			if err != nil {
				return err
			}
			if n.state != down {
				return refuse("node %d is not down", index)
			}
			nodes = []*node{n}
		}
		for _, n := range nodes {
			if n.state != down {
				continue
			}
			if err := c.begin(n); err != nil {
				return refuse("%v", err)
			}
			restarted++
		}
		return nil
	})
	return restarted, err
}

// setLoss sets the percentage of datagrams that are lost.
func (c *cluster) setLoss(percent float64) error {
	return c.do(func() error {
		if !(percent >= 0 && percent <= mostLoss) {
			return refuse("a loss of %v %% is not between 0 and %d", percent, mostLoss)
		}
		c.net.loss = percent / 100
		c.trace.settingsChanged()
		return nil
	})
}

// setLatency sets how long a datagram takes, give or take a quarter.
func (c *cluster) setLatency(d time.Duration) error {
	return c.do(func() error {
		if d < 0 || d > mostLatency {
			return refuse("a latency of %v is not between 0 and %v", d, mostLatency)
		}
		c.net.latency = d
		c.trace.settingsChanged()
		return nil
	})
}

// partition separates the two halves of the ring, or joins them again.
func (c *cluster) partition(parted bool) error {
	return c.do(func() error {
		c.parted = parted
		c.trace.settingsChanged()
		return nil
	})
}

// details is what is known of one node.
type details struct {
	Node    int          `json:"node"`
	State   string       `json:"state"`
	Address string       `json:"address"`
	ID      string       `json:"id"`
	Members []int        `json:"members"` // the nodes in its view
	Stats   gossip.Stats `json:"stats"`
}

// details returns what is known of a node, for one that is down at the end of its last life.
func (c *cluster) details(index int) (d details, err error) {
	err = c.do(func() error {
		n, err := c.at(index)
		if err != nil {
			return err
		}
		d = details{Node: index, State: n.state, Address: n.addr.String()}
		if n.GossipService == nil {
			return nil
		}
		d.ID, d.Stats = n.ID().String(), n.Stats()
		for _, m := range n.Members() {
			if other := c.byAddr[m.Address.AddrPort()]; other != nil {
				d.Members = append(d.Members, other.index)
			}
		}
		return nil
	})
	return d, err
}
