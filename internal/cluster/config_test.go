package cluster

import (
	"cmp"
	"time"

	"example.com/gossip/internal/node"
)

// withDefaults returns c with the defaults of gossip.Config where it holds the zero value.
func withDefaults(c node.Config) node.Config {
	c.TickInterval = cmp.Or(c.TickInterval, time.Second)
	c.RetryInterval = cmp.Or(c.RetryInterval, 250*time.Millisecond)
	c.AckDelay = cmp.Or(c.AckDelay, 10*time.Millisecond)
	c.OrderedWait = cmp.Or(c.OrderedWait, 5*time.Second)
	c.RumorFactor = cmp.Or(c.RumorFactor, 3)
	c.BroadcastFactor = cmp.Or(c.BroadcastFactor, 16)
	c.MaxMessageSize = cmp.Or(c.MaxMessageSize, 512)
	c.MaxOutputMessages = cmp.Or(c.MaxOutputMessages, 1024)
	c.MaxMembers = cmp.Or(c.MaxMembers, 1024)
	c.DataLogSize = cmp.Or(c.DataLogSize, 256<<10)
	c.Attempts = cmp.Or(c.Attempts, attempts(3))
	return c
}

// attempts returns the Attempts that go with a gossip.Config.RetryAttempts of n.
func attempts(n int) node.Attempts {
	return node.Attempts{
		node.Hello:      n,
		node.Probe:      1,
		node.Welcome:    node.NoAnswer,
		node.MemberList: n,
		node.Ack:        node.NoAnswer,
		node.Data:       node.UntilAnswered,
		node.Verify:     node.UntilAnswered,
		node.Stray:      n,
		node.Repair:     node.NoAnswer,
		node.Status:     n,
		node.Offer:      node.NoAnswer,
		node.Anycast:    node.UntilAnswered,
		node.Leave:      node.NoAnswer,
	}
}
