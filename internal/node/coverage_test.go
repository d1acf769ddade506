package node

import (
	"testing"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/ring"
)

func TestCoverageRemembersTheLatestMessages(t *testing.T) {
	const limit, messages = 3, 20
	c := newCoverage(limit)
	for i := range uint32(messages) {
		c.set(&datalog.Entry{Origin: 7, Counter: i}, covered{inside: ring.Arc{Lo: i, Hi: i + 1}})
		c.set(&datalog.Entry{Origin: 7, Counter: i}, covered{outside: ring.Arc{Lo: i, Hi: i + 2}}) // replaces it
		known := 0
		for j := range uint32(messages) {
			arcs, ok := c.get(7, j)
			if ok {
				known++
			}
			if must := j <= i && j+limit > i; must && !ok || j > i && ok {
				t.Fatalf("after message %d of a coverage for %d, message %d is known: %v", i, limit, j, ok)
			} else if ok && (arcs.outside != ring.Arc{Lo: j, Hi: j + 2} || !arcs.inside.Empty()) {
				t.Fatalf("of message %d %+v is known", j, arcs)
			}
		}
		if known > 2*limit || len(c.young)+len(c.old) > 2*limit {
			t.Fatalf("after message %d of a coverage for %d, %d messages are known", i, limit, known)
		}
	}
	if _, ok := c.get(8, messages-1); ok {
		t.Error("a message of another origin is known")
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
