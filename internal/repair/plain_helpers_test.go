package repair

import (
	"math/rand/v2"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
)

// fate is what became of a message.
type fate byte

const (
	unknown fate = iota
	history
	lost
	waiting
	delivered
)

// plainOrigin is what became of the messages of one origin, as one would write it down.
type plainOrigin struct {
	from, floor, highest uint32
	known                uint32 // at least highest
	fates                map[uint32]fate
}

// plainNode lives through what a node may, does all that concerns the numbers of messages as a
// node does, and writes it down.
type plainNode struct {
	t         *testing.T
	r         *rand.Rand
	seed      uint64
	step      int
	node      *node
	now       time.Duration
	plain     map[uint64]*plainOrigin
	lost      uint64 // in all
	delivered uint64
	joined    time.Duration
}

const plainOrigins = 4

func newPlainNode(t *testing.T, seed uint64) *plainNode {
	x := &plainNode{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 60)), plain: map[uint64]*plainOrigin{}}
	x.node = &node{log: datalog.New([]int{1 << 20, 40 * datalog.Overhead, 5 * datalog.Overhead, 0}[seed/2%4]), origins: versions.NewTable(plainOrigins)}
	x.node.desk = NewReconciler(x.node.log, x.node.origins)
	x.node.desk.Ordered = seed%2 == 0
	x.join(seed%3 == 0)
	return x
}

func (x *plainNode) fatalf(format string, args ...any) {
	x.t.Helper()
	x.t.Fatalf("seed %d step %d, ordered %v: "+format, append([]any{x.seed, x.step, x.node.desk.Ordered}, args...)...)
}

// join begins a new life.
func (x *plainNode) join(skips bool) {
	d := x.node.desk
	d.Rejoin()
	if skips {
		d.SkipHistory()
		for o := x.node.origins.Newest(); o != nil; o = o.Older() {
			x.plain[o.ID].from = 0
		}
	}
	d.Joined(x.now, 30*time.Second)
	x.joined = x.now
}

// origin returns the origin, with room made for it in the table.
func (x *plainNode) origin(id uint64) *versions.Origin {
	before := map[uint64]bool{}
	for o := x.node.origins.Newest(); o != nil; o = o.Older() {
		before[o.ID] = true
	}
	o := x.node.desk.Origin(x.now, id, id%3)
	if o == nil || before[id] {
		return o
	}
	for other := range before {
		if x.node.origins.Get(other) == nil {
			x.plain[other].evict(x)
		}
	}
	if x.plain[id] == nil {
		x.plain[id] = &plainOrigin{fates: map[uint32]fate{}}
	}
	return o
}

// evict ends the account of an origin for now: what did not come, or was not delivered, is lost.
func (s *plainOrigin) evict(x *plainNode) {
	s.highest = s.known
	for c := uint32(1); c <= s.highest; c++ {
		switch f := s.fates[c]; {
		case f == unknown && (s.from == 0 || c < s.from):
			s.fates[c] = history
		case f == unknown, f == waiting:
			s.fates[c] = lost
			x.lost++
		}
	}
	if s.from > s.highest { // what was named by a page remains history
		s.highest = s.from - 1
		for c := s.floor + 1; c <= s.highest; c++ {
			if s.fates[c] == unknown {
				s.fates[c] = history
			}
		}
	}
	s.floor, s.from, s.known = s.highest, s.highest+1, s.highest
}

// raise moves the floor: what is unknown up to it has the fate that is given.
func (x *plainNode) raise(s *plainOrigin, o *versions.Origin, floor uint32, gaveUp bool) {
	if floor <= s.floor {
		return
	}
	for ; s.floor < floor; s.floor++ {
		c := s.floor + 1
		switch {
		case s.fates[c] != unknown:
		case gaveUp && s.from > 0 && c >= s.from:
			s.fates[c] = lost
			x.lost++
		default:
			s.fates[c] = history
		}
	}
	s.highest = max(s.highest, floor)
	s.known = max(s.known, floor)
	for s.fates[s.floor+1] != unknown {
		s.floor++
	}
	x.inOrder(s, o)
}

// inOrder delivers what is next, where order is kept.
func (x *plainNode) inOrder(s *plainOrigin, o *versions.Origin) {
	if !x.node.desk.Ordered {
		return
	}
	first, last := o.Delivered+1, uint32(0)
	x.node.desk.InOrder(o, func(e *datalog.Entry) {
		if e.Counter <= last || s.fates[e.Counter] != waiting || e.Counter > s.floor {
			x.fatalf("message %d of origin %d is delivered behind %d, with floor %d and fate %d", e.Counter, o.ID, last, s.floor, s.fates[e.Counter])
		}
		last = e.Counter
		s.fates[e.Counter] = delivered
		x.delivered++
	})
	for c := first; c <= s.floor; c++ {
		if s.fates[c] == waiting {
			if x.node.log.Get(o.ID, c) != nil {
				x.fatalf("message %d of origin %d is retained and not delivered in its turn", c, o.ID)
			}
			s.fates[c] = lost
			x.lost++
		}
	}
}

// take receives a message as a node does.
func (x *plainNode) take(id uint64, c uint32) {
	o := x.origin(id)
	if o == nil {
		return
	}
	s, d, pool := x.plain[id], x.node.desk, x.node.origins.Pool()
	d.Begin(x.now, o)
	if s.from == 0 && x.now-x.joined > settled && !d.Skipping(x.now) {
		s.from = s.floor + 1
	}
	if o.From == 0 && d.Skipping(x.now) {
		d.SkipTo(o, c-1)
		x.raise(s, o, c-1, false)
	}
	if floor := o.Seen.FloorFor(c, pool); floor > s.floor {
		d.GiveUp(o, floor)
		x.raise(s, o, floor, true)
	}
	isNew := s.fates[c] == unknown && c > s.floor
	if got := o.Seen.Add(c, pool); (got == versions.New) != isNew || got == versions.Ahead {
		x.fatalf("message %d of origin %d has fate %d, and is %d", c, id, s.fates[c], got)
	}
	if !isNew {
		return
	}
	x.node.origins.Touch(o, x.now)
	o.Taken(c, pool)
	if s.from == 0 || c < s.from {
		s.from = c
	}
	s.highest, s.known, s.fates[c] = max(s.highest, c), max(s.known, c), waiting
	for s.fates[s.floor+1] != unknown {
		s.floor++
	}
	e := x.node.log.Put(id, c, nil, x.now)
	if !d.Ordered || c == o.Delivered+1 && x.node.log.Get(id, c) == nil {
		s.fates[c] = delivered
		x.delivered++
	}
	if d.Ordered {
		if s.fates[c] == delivered {
			o.Delivered = c
		}
		x.inOrder(s, o)
	}
	x.node.log.Release(e)
}
