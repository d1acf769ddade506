package cluster

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

func tellRetry(t *testing.T) *transcript {
	x := newTranscript(t, `
Silence: what a node does when a message is not answered.

Data is sent until its recipient answers or is lost. A member that is silent is sent a Hello
up to eight times. Other messages that need an answer are sent three times (RetryAttempts).`)
	x.scene(`
A seed is down. b waits 250 ms for an answer (RetryInterval), because it does not know yet
how long one takes, and after the last attempt a second, in case of a slow loop. Then it
is DISCONNECTED and keeps asking, at most about 4 s apart: so it finds a in the end.`, 1, 2, node.Config{})
	a, b := x.nodes[0], x.nodes[1]
	a.crash()
	x.begin()
	x.joins(b, a)
	x.net.Run(4 * time.Second)
	x.restarts(a)
	x.net.Run(880 * time.Millisecond)
	x.end()

	x.scene(`
A member crashes. a sends a message three times, 44 ms apart: answers of b have taken 30 ms
so far (10 ms there, 10 ms AckDelay, 10 ms back), and a allows 14 ms more. Before the third
time it takes the arc from b, and would give it to another member if there were one. Then it
holds the message, and sends b a Hello about every 0.4 s. When the eighth has no answer either,
b is lost. Meanwhile, at 2938, a sums up for b what it has seen, as it does for one member after
another in the background.

A lost member is sent single Hellos, less and less often, for an hour. But b comes back by itself,
with a new id, as b', and gets the message at once: a keeps it until any other node has
acknowledged it.`, 2, 2, node.Config{})
	a, b = x.nodes[0], x.nodes[1]
	x.settled()
	x.begin()
	x.crashes(b)
	x.publishes(a, "hello")
	x.net.Run(5 * time.Second)
	x.restarts(b, a)
	x.net.Run(100 * time.Millisecond)
	x.end()
	x.deliveredOnce("hello", a)

	x.scene(`
The same, but b is alive and cut off for 3.5 s. Then a Hello of b arrives, at 3677. That alone
could be a replayed one, so a sends one too. The answers make each a member of the other again,
and b gets the message.`, 2, 2, node.Config{})
	a = x.nodes[0]
	x.settled()
	x.begin()
	x.filters("loses from now on everything", func(from, to netip.AddrPort) bool { return false })
	x.publishes(a, "hello")
	x.net.Run(3500 * time.Millisecond)
	x.filters("loses nothing any more", nil)
	x.net.Run(400 * time.Millisecond)
	x.end()
	x.deliveredOnce("hello", a)

	x.scene(`
A node without room. a sends b three messages, with an arc that holds c. For 50 ms nothing of b
arrives at c, and the copies of the first two fill the room for c, which is small here
(MaxOutputMessages is 1). So b refuses the third, and delivers it only when it can pass it on.
When a has the refusal, at 50, it waits about as long as an answer takes, and sends the message
again. Only Data and its Acks are shown.`, 217, 3, node.Config{MaxOutputMessages: 1})
	a, b = x.nodes[0], x.nodes[1]
	c := x.nodes[2]
	x.settled()
	x.show = func(_ netip.AddrPort, m wiretest.Message) bool { return m.Kind == wire.TypeData }
	x.begin()
	x.filters("loses from now on what b sends to c", func(from, to netip.AddrPort) bool { return from != b.addr || to != c.addr })
	for i, text := range []string{"one", "two", "three"} {
		x.publishes(a, text)
		x.net.Run([]time.Duration{10, 10, 30}[i] * time.Millisecond)
	}
	x.filters("loses nothing any more", nil)
	x.net.Run(65 * time.Millisecond)
	x.end()
	for _, text := range []string{"one", "two", "three"} {
		x.deliveredOnce(text, a)
	}
	return x
}
