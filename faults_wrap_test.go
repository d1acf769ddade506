package gossip

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// Numbers of messages do not wrap: a node that has used all of them says so, and
// goes on as a new one. The sequence numbers of envelopes are drawn at random, and
// never compared but for being the same, so that there is nothing to wrap. Times
// are 63 bits of nanoseconds since the service was made, which is 292 years.

const lastNumber = math.MaxUint32

// hasSaid makes it so that the node has said so many messages, of each kind, and
// all others have them.
func (n *simNode) hasSaid(count uint32) {
	n.counter, n.directCounter = count, count
	n.directDone.Reset(count, n.origins.Pool())
	for _, x := range n.c.nodes {
		o, _, _ := x.origins.Add(uint64(n.id), 0, n.c.net.Now(), 0)
		o.Seen.Reset(count, x.origins.Pool())
		o.Direct.Reset(count, x.origins.Pool())
		o.Since, o.Given = 1, count
	}
}

// refuses fails unless the node says that its numbers are used, without a trace.
func (n *simNode) refuses(spread Spread) {
	n.c.t.Helper()
	before, counter, directs := n.Stats(), n.counter, n.directCounter
	err := n.SendData([]byte("one too many"), spread)
	if !errors.Is(err, ErrState) || !strings.Contains(err.Error(), n.ID().String()) || !strings.Contains(err.Error(), "Leave and Join") {
		n.c.t.Fatalf("seed %d: with all numbers used SendData returns %v", n.c.seed, err)
	}
	if after := n.Stats(); after != before || n.counter != counter || n.directCounter != directs {
		n.c.t.Fatalf("seed %d: a message that was refused leaves a trace: %+v became %+v", n.c.seed, before, after)
	}
}

// copies counts what came to the nodes and was here already.
func (c *simCluster) copies() (sum uint64) {
	for _, n := range c.nodes {
		sum += n.Stats().Duplicate
	}
	return sum
}

func TestANodeThatHasUsedAllItsNumbersGoesOnAsANewOne(t *testing.T) {
	t.Parallel()
	for _, ordered := range []bool{false, true} {
		for seed := range uint64(4) {
			c := newSimCluster(t, 8, rough(seed), Config{Ordered: ordered})
			c.form()
			n, said, letters := c.nodes[3], map[string]*simNode{}, map[string]*simNode{}
			n.hasSaid(lastNumber - 30)
			if ordered {
				c.sequences(letters)
			}
			for range 30 {
				said[n.say()] = n
				c.net.Run(10 * time.Millisecond)
			}
			n.refuses(Broadcast)
			n.refuses(Random)
			n.refuses(Direct(Address{c.nodes[0].addr}))
			c.everybodyGot(20*time.Second, said)
			c.net.Run(20 * time.Second)
			before := c.copies()
			c.net.Run(20 * time.Second)
			if again := c.copies() - before; again > 0 {
				t.Fatalf("seed %d: 20 s after the last message %d copies of what all have go round", seed, again)
			}
			newcomer := c.add(otherAddr, Config{Ordered: ordered})
			newcomer.join(c.nodes[0])
			c.everybodyGot(20*time.Second, said)

			old := n.ID()
			if err := n.Leave(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			n.turn()
			c.net.Run(time.Second)
			n.join(c.nodes[0])
			if n.ID() == old {
				t.Fatalf("seed %d: a node that left and joined is still %v", seed, old)
			}
			for range 30 {
				said[n.say()] = n
				c.net.Run(10 * time.Millisecond)
			}
			c.net.SetLoss(0) // a Direct message is given up after three attempts
			letter := n.say(Direct(Address{c.nodes[1].addr}))
			letters[letter] = n
			c.wellInTheEnd(20*time.Second, said)
			if c.nodes[1].got[letter] != 1 {
				t.Fatalf("seed %d: a Direct message of the new life arrived %d times", seed, c.nodes[1].got[letter])
			}
			for _, x := range c.nodes { // of which one came late
				if s := x.Stats(); s.GaveUpUnseen > 0 {
					t.Fatalf("seed %d: %v counts %d messages as given up", seed, x.addr, s.GaveUpUnseen)
				}
			}
		}
	}
}

func TestDirectMessagesUseUpTheirNumbers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		c := newSimCluster(t, 4, lan(seed), Config{})
		c.form()
		n := c.nodes[1]
		n.hasSaid(lastNumber - 40)
		n.counter = 5 // of the other kind it has said little
		to := map[string]*simNode{}
		for i := range 40 {
			x := c.nodes[[]int{0, 2, 3}[i%3]]
			to[n.say(Direct(Address{x.addr}))] = x
		}
		n.refuses(Direct(Address{c.nodes[0].addr}))
		n.refuses(Broadcast)
		c.net.Run(2 * time.Second)
		for text, x := range to {
			if x.got[text] != 1 {
				t.Fatalf("seed %d: %q, one of the last Direct messages, arrived %d times", seed, text, x.got[text])
			}
		}
		if s := n.Stats(); s.GivenUp > 0 || s.QueuedData > 0 {
			t.Fatalf("seed %d: without loss the last Direct messages are not acknowledged: %+v", seed, s)
		}
	}
}

// What a peer says of an origin may reach up to the last number there is.
func TestAnOriginIsFollowedToItsLastNumber(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, ordered := range []bool{false, true} {
		s := newSoloist(t, Config{Ordered: ordered})
		s.seedWith(10, 20)
		hears := func(back uint32) { s.hear(peerAddr(10), s.data(dataOf(77, lastNumber-back))) }
		for _, back := range []uint32{1030, 1029, 1027, 3, 5, 4, 1, 0} { // without 1028, 2 and what is between
			hears(back)
		}
		s.want(s.origins.Get(77).Seen.Highest() == lastNumber, "the last number is not noted: %d", s.origins.Get(77).Seen.Highest())
		s.run(2 * time.Second)
		hears(2)
		s.run(45 * time.Second)
		want := ""
		for _, back := range []uint32{1030, 1029, 1027, 5, 4, 3, 2, 1, 0} {
			want += fmt.Sprint(lastNumber-back) + " "
		}
		o := s.origins.Get(77)
		s.want(o.Seen.Floor() == lastNumber && !o.Seen.Gap(), "what is missing is not given up: the floor is %d", o.Seen.Floor())
		s.want(len(s.got) == 9 && s.Stats().GaveUpUnseen == 1031-9, "of 1031 messages %d were delivered, %d given up", len(s.got), s.Stats().GaveUpUnseen)
		if ordered {
			s.want(strings.Join(s.got, " ")+" " == want, "in order they are %v", s.got)
		}
		for _, back := range []uint32{0, 1, 2, 1028, lastNumber - 1, lastNumber} { // the last two are 1 and 0
			hears(back)
		}
		s.want(len(s.got) == 9, "what was seen or given up is delivered: %v", s.got)
		s.hear(peerAddr(10), s.status(everything(map[uint64]uint32{77: lastNumber, uint64(s.id): 0})))
		answer := only(s.run(2*time.Second), wire.TypeData, anybody)
		s.want(len(answer) == 0, "to somebody who has all it sends %v", answer)
		s.hear(peerAddr(10), s.status(everything(map[uint64]uint32{77: lastNumber - 1, uint64(s.id): 0})))
		answer = only(s.run(2*time.Second), wire.TypeData, peerAddr(10))
		s.want(len(answer) == 1 && answer[0].data.Counter == lastNumber, "to somebody who lacks the last it sends %v", answer)
	}
}

// Who makes a node use up its numbers, by speaking in its name, makes it speak up
// and not begin again at 0.
func TestANodeThatIsDrivenToItsLastNumberSaysSo(t *testing.T) {
	t.Parallel()
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	s.want(s.SendData([]byte("first words")) == nil, "SendData failed")
	s.run(time.Second)
	s.counter = lastNumber - 2000
	s.hear(peerAddr(10), s.data(wire.Data{Origin: uint64(s.id), Counter: lastNumber}))
	err := s.SendData([]byte("x"))
	s.want(errors.Is(err, ErrState), "after the last number in its name SendData returns %v", err)
	s.want(s.Leave() == nil && s.Join() == nil && s.SendData([]byte("x")) == nil, "it cannot begin anew")
}

const (
	year      = 365 * 24 * time.Hour
	endOfTime = time.Duration(math.MaxInt64) // which the clock reaches after 292 years
)

// What a node does in its youth it does in old age, and also if its clock is far on
// when it is made.
func TestAServiceRunsFor292YearsButAnHour(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, x := range []struct{ born, ages time.Duration }{{0, 280 * year}, {280 * year, 0}, {0, endOfTime - time.Hour}, {290 * year, year}} {
		for seed := range uint64(2) {
			c := newSimCluster(t, 0, rough(seed), Config{})
			c.net.RunUntil(x.born)
			for i := range 8 {
				c.add(peerAddr(i), Config{Ordered: i%2 == 0})
			}
			c.form()
			said := map[string]*simNode{}
			c.traffic(time.Second, 50*time.Millisecond, said, Broadcast, Random)
			c.everybodyGot(20*time.Second, said)
			c.net.Run(5 * time.Second)
			for _, n := range c.nodes {
				n.shift(x.ages)
			}
			c.traffic(time.Second, 50*time.Millisecond, said, Broadcast, Random)
			c.everybodyGot(20*time.Second, said)
			c.net.SetLoss(0)
			c.partition(3)
			c.traffic(time.Minute, time.Second, said)
			c.net.Heal()
			c.nodes[5].crash()
			c.traffic(time.Minute, time.Second, said)
			clear(c.nodes[5].got)
			c.nodes[5].restart(c.nodes[0])
			c.wellInTheEnd(20*time.Second, said)
			if now := c.nodes[0].last; now < x.born+x.ages {
				t.Fatalf("seed %d: the age of a service is %v", seed, now)
			}
		}
	}
}
