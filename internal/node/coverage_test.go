package node

import (
	"testing"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/ring"
)

func TestCoverageRemembersTheLatestMessages(t *testing.T) {
	c := coverage{limit: 3, arcs: map[messageID]covered{}}
	for i := range uint32(10) {
		c.set(&datalog.Entry{Origin: 7, Counter: i}, covered{inside: ring.Arc{Lo: i, Hi: i + 1}})
		c.set(&datalog.Entry{Origin: 7, Counter: i}, covered{outside: ring.Arc{Lo: i, Hi: i + 2}}) // takes no more room
		for j := range uint32(10) {
			arcs, ok := c.get(7, j)
			if want := j <= i && j+3 > i; ok != want {
				t.Fatalf("after message %d of a coverage for 3, message %d is known: %v", i, j, ok)
			} else if ok && (arcs.outside != ring.Arc{Lo: j, Hi: j + 2} || !arcs.inside.Empty()) {
				t.Fatalf("of message %d %+v is known", j, arcs)
			}
		}
	}
	if _, ok := c.get(8, 9); ok || len(c.arcs) != 3 || len(c.order) != 3 {
		t.Errorf("a message of another origin is known, or %d messages are", len(c.arcs))
	}
}

func TestCoverageTellsArcsThatTheNodeLiesIn(t *testing.T) {
	var c covered
	const pos = 100
	for _, x := range []struct {
		arc    ring.Arc
		inside bool
	}{{ring.Arc{Lo: 100, Hi: 101}, true}, {ring.Arc{Lo: 50, Hi: 100}, false}, {ring.Arc{Lo: 200, Hi: 101}, true}, {ring.Arc{Lo: 101, Hi: 100}, false}} {
		if got := c.of(x.arc, pos) == &c.inside; got != x.inside {
			t.Errorf("a node at %d lies in %v: %v", pos, x.arc, got)
		}
	}
}
