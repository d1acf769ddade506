package node

import (
	"testing"
	"time"

	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

func TestCoverageRemembersTheLatestMessages(t *testing.T) {
	const limit, messages = 3, 64 * 20
	c := newCoverage(limit)
	for i := range uint32(messages) {
		c.note(7, i, noArc)
		s := []side{inside, outside}[i%2]
		c.note(7, i, s)
		known := 0
		for j := i % 5; j < messages; j += 5 { // all would be slow
			s := []side{inside, outside}[j%2]
			last := j/64 + limit // the blocks that are known for sure
			switch covered, other := c.covers(7, j, s), c.covers(7, j, inside+outside-s); {
			case !covered:
				t.Fatalf("after message %d of a coverage for %d blocks, the arc of message %d is to be covered again", i, limit, j)
			case other && j <= i && last > i/64:
				t.Fatalf("after message %d of a coverage for %d blocks, message %d is forgotten", i, limit, j)
			case !other:
				known++
			}
		}
		if known > 2*limit*64/5+1 || len(c.young)+len(c.old) > 2*limit {
			t.Fatalf("after message %d of a coverage for %d blocks, %d messages are known", i, limit, known)
		}
	}
	if !c.covers(8, messages-1, inside) {
		t.Error("a message of another origin is known")
	}
}

func TestCoverageTellsArcsThatTheNodeLiesIn(t *testing.T) {
	s := newSolo(t, Config{})
	pos := ring.Pos(s.ID())
	for _, x := range []struct {
		flags  uint8
		lo, hi uint32
		want   side
	}{
		{wire.FlagArc, pos, pos + 1, inside},
		{wire.FlagArc, pos - 50, pos, outside},
		{wire.FlagArc, pos + 100, pos + 1, inside},
		{wire.FlagArc, pos + 1, pos, outside},
		{wire.FlagRumor, 0, 0, noArc},
	} {
		got := s.sideOf(&wire.Data{Flags: x.flags, Lo: x.lo, Hi: x.hi})
		s.want(got == x.want, "a node at %x is on side %d of the arc %x..%x, not %d", pos, got, x.lo, x.hi, x.want)
	}
}

// A member was lost, and its arcs are given to this node, which has the messages by repair. Many
// newer ones have come meanwhile.
func TestLateArcIsCoveredAfterThousandsOfNewerMessages(t *testing.T) {
	for _, c := range []struct {
		config Config
		newer  uint32
	}{{Config{}, 20000}, {Config{DataLogSize: 1}, span}} {
		s := newSolo(t, c.config)
		s.withMembers(around(8)...)
		from := peerAddr(around(8)[0])
		for i := range c.newer {
			s.receive(from, s.data(wire.Data{Origin: 77, Counter: i + 1, Flags: wire.FlagPull, Payload: []byte("x")}))
		}
		s.run(time.Second)
		all := ring.AllBut(77)
		for i := range uint32(100) {
			s.receive(from, s.data(wire.Data{Origin: 77, Counter: i + 1, Flags: wire.FlagArc, Lo: all.Lo, Hi: all.Hi, Payload: []byte("x")}))
			n := len(copies(s.run(100 * time.Millisecond)))
			s.want(n == 8, "the arc of message %d, which came again after %d newer ones with a log of %d bytes, is forwarded in %d copies", i+1, c.newer, c.config.DataLogSize, n)
		}
	}
}
