package cluster

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

func tellRepair(t *testing.T) *transcript {
	x := newTranscript(t, `
Repair: a message that was lost on one path arrives by another.

Status has four modes. It offers new messages, sums up in a hash what was seen, tells what was
seen of each origin (except what came less than 30 to 60 ms ago, which may still be on its way
to others), or requests what is missing. The answer to a request is Data by repair, which is
not acknowledged: if it is lost, it is still missing and requested again.`)
	x.scene(`
Nothing that a sends to c arrives, but d offers c the message. Each node offers a new message
to a random member, once, a little more than a round trip after it came. What came by repair
may be missing at other nodes nearby too, so c offers it to its neighbours at once, and soon
tells a random member, d, what it has seen: more may be missing.

The offer that c sends a shows that c is alive, so a goes on after three attempts: it sends c
a Hello and the message.`, 15, 4, node.Config{})
	x.settled()
	a, c := x.nodes[0], x.nodes[2]
	x.begin()
	x.filters("loses from now on what a sends to c", func(from, to netip.AddrPort) bool { return from != a.addr || to != c.addr })
	x.publishes(a, "hello")
	x.net.Run(150 * time.Millisecond)
	x.end()
	x.deliveredOnce("hello", a)

	x.scene(`
c is cut off for 3.5 s while a sends a message. When the fourth Hello of a has no answer, at 1334,
a tells b, which asks c itself and tells a in turn. Both consider c lost, at 3334 and 3439. From
then on they send it a Hello about every second, and its Welcome makes it a member again.

Then each compares with others what was seen: it sums up, and one that has seen anything else
answers with what it has seen. c has seen nothing, and requests what it lacks. In the background
each node sums up too, for one member after another, about every 4 s once its view has been the
same for 15 s.`, 2, 3, node.Config{})
	x.settled()
	a, c = x.nodes[0], x.nodes[2]
	x.begin()
	x.filters("loses from now on what is from or to c", func(from, to netip.AddrPort) bool { return from != c.addr && to != c.addr })
	x.publishes(a, "hello")
	x.net.Run(3500 * time.Millisecond)
	x.filters("loses nothing any more", nil)
	x.net.Run(1500 * time.Millisecond)
	x.end()
	x.deliveredOnce("hello", a)
	return x
}

func tellLeave(t *testing.T) *transcript {
	x := newTranscript(t, `
Leaving, and coming back.`)
	x.scene(`
c says goodbye to each member, once. From then on nobody sends to it any more, and c sends
nothing: what is still on its way to it is dropped. Each node passes the goodbye on in its next
eight exchanges. One that missed it asks c first, and finds it silent.`, 1, 3, node.Config{})
	x.settled()
	x.begin()
	a, c := x.nodes[0], x.nodes[2]
	x.leaves(c)
	x.net.Run(50 * time.Millisecond)
	x.publishes(a, "hello")
	x.net.Run(60 * time.Millisecond)
	x.end()

	x.scene(`
When c joins again it is a new node, c', with a new place on the ring. As such it gets what
its peers retain, including messages sent in its absence (unless SkipHistory is set): it sums
up what it has seen, as each node does often while its view changes, and a answers with what it
has seen itself. Meanwhile a and b tell one another that c is new, as in join.txt.`, 3, 3, node.Config{})
	x.settled()
	a, c = x.nodes[0], x.nodes[2]
	x.leaves(c)
	x.net.Run(50 * time.Millisecond)
	x.publishes(a, "hello")
	x.net.Run(20 * time.Second)
	x.begin()
	x.joins(c, a)
	x.net.Run(310 * time.Millisecond)
	x.end()
	x.deliveredOnce("hello", a)
	return x
}

func tellKeys(t *testing.T) *transcript {
	x := newTranscript(t, `
A change of keys while messages are sent: nothing is lost.

The first key of a node seals what it sends, all of them open what comes in. So the new key
B replaces A in three steps, each done at all nodes before the next begins.`)
	x.scene(`
Before: both have A.`, 1, 2, node.Config{Keys: [][]byte{testKey('A')}})
	x.keys = []namedKey{{"A", keyring(t, 'A')}, {"B", keyring(t, 'B')}}
	x.settled()
	x.begin()
	x.publishes(x.nodes[0], "one")
	x.net.Run(100 * time.Millisecond)
	for i, step := range []struct{ keys, title, first, second string }{
		{"AB", "Both can open B.", "two", "three"},
		{"BA", "Both seal with B. Until b does so too, a still opens what is sealed with A.", "four", "five"},
		{"B", "Both drop A.", "six", "seven"},
	} {
		x.end()
		x.next(fmt.Sprintf("Step %d. %s", i+1, step.title))
		for j, text := range []string{step.first, step.second} {
			x.setsKeys(x.nodes[j], step.keys)
			x.publishes(x.nodes[j], text)
			x.net.Run(100 * time.Millisecond)
			x.deliveredOnce(text, x.nodes[j])
		}
	}
	x.end()
	return x
}

// setsKeys gives a node keys whose names are letters.
func (x *transcript) setsKeys(n *simNode, names string) {
	x.t.Helper()
	var keys [][]byte
	for i := range len(names) {
		keys = append(keys, testKey(names[i]))
	}
	x.note(n.addr, "SetKeys(%s)", strings.Join(strings.Split(names, ""), ", "))
	n.setKeys(keys...)
}
