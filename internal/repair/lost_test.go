package repair

import (
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// Of each origin delivered + lost + waiting + missing + history = highest number known, and no
// message is delivered twice: whatever comes in whatever order, is given up, skipped, or makes
// room and returns.
func TestReconcilerCountsEveryMessageOnce(t *testing.T) {
	for seed := range uint64(40) {
		x := newPlainNode(t, seed)
		for x.step = range 400 {
			x.act()
			if x.r.IntN(8) == 0 {
				x.check()
			}
		}
		x.check()
	}
}

// account is what a Reconciler counts of an origin.
type account struct{ from, missing uint32 }

// act does one of the things that happen to a node.
func (x *plainNode) act() {
	d, r := x.node.desk, x.r
	id := 1 + r.Uint64N(2*plainOrigins)
	highest := uint32(0)
	if s := x.plain[id]; s != nil {
		highest = s.highest
	}
	switch op := r.IntN(100); {
	case op < 70:
		near := uint32(max(0, int(highest)-r.IntN(30)))
		x.take(id, near+1+r.Uint32N(20))
	case op < 73:
		x.take(id, highest+1+r.Uint32N(1000))
	case op < 74:
		x.take(id, highest+1+r.Uint32N(2*versions.Width))
	case op < 90:
		x.now += time.Duration(r.IntN(3000)) * time.Millisecond
		patience := time.Duration(r.IntN(10)) * time.Second
		for o, end := range d.origins.StaleGaps(x.now, patience) {
			d.GiveUp(o, end)
			x.raise(x.plain[o.ID], o, end, true)
		}
	case op < 93:
		if o := x.origin(id); o != nil { // a repair from before the node joined
			floor := uint32(max(0, int(highest)+r.IntN(10)-5))
			d.SkipTo(o, floor)
			x.raise(x.plain[id], o, floor, false)
		}
	case op < 96:
		if o := x.origin(id); o != nil && d.Skipping(x.now) {
			page := record{id, highest, []wire.Run{run(highest+2, highest+3)}}
			d.Skip(x.now, digestOf(page), false, 0, func(o *versions.Origin) {
				s := x.plain[o.ID]
				floor := highest + 3
				if s.from > 0 {
					floor = min(floor, s.from-1)
				}
				x.raise(s, o, floor, false)
			})
		}
	case op < 97:
		if o := x.origin(id); o != nil && !d.Skipping(x.now) {
			d.Heard(x.now, digestOf(record{id, highest, []wire.Run{run(highest+3, highest+4)}}), 0, id, false)
			s := x.plain[id]
			switch {
			case s.from > 0:
			case x.now-x.joined <= settled:
				s.from = max(highest+5, s.floor+1)
			default:
				s.from = s.floor + 1
			}
			s.known = max(s.known, min(highest+4, s.floor+versions.Width))
		}
	case op < 99:
		x.now += time.Duration(r.IntN(3)) * OriginIdle / 2
	default:
		x.join(r.IntN(2) == 0)
	}
}

// check holds the counts of the node against the plain ones.
func (x *plainNode) check() {
	d, unsettled := x.node.desk, uint64(0)
	for o := x.node.origins.Newest(); o != nil; o = o.Older() {
		s := x.plain[o.ID]
		if o.From != s.from || o.Seen.Floor() != s.floor || o.Seen.Highest() != s.highest {
			x.fatalf("origin %d counts from %d, with floor %d and highest %d, not from %d, with %d and %d",
				o.ID, o.From, o.Seen.Floor(), o.Seen.Highest(), s.from, s.floor, s.highest)
		}
		unsettled += uint64(o.Missing())
		if d.Ordered { // else nothing waits
			unsettled += uint64(o.Waiting())
		}
		n := map[fate]uint32{}
		for c := s.floor + 1; c <= s.known; c++ {
			if f := s.fates[c]; f != unknown || s.from > 0 && c >= s.from {
				n[f]++
			}
		}
		if o.Missing() != n[unknown] || d.Ordered && o.Waiting() != n[waiting] {
			x.fatalf("origin %d counts %d missing and %d waiting, but the fates above %d are %v", o.ID, o.Missing(), o.Waiting(), s.floor, n)
		}
	}
	x.checkAll()
	if d.Lost() != x.lost || d.Unsettled() != unsettled {
		x.fatalf("%d messages are lost and %d unsettled, but %d and %d are counted", x.lost, unsettled, d.Lost(), d.Unsettled())
	}
}

// checkAll adds up the messages of all origins, those that made room too.
func (x *plainNode) checkAll() {
	x.t.Helper()
	sum := x.node.desk.Lost() + x.node.desk.Unsettled() + x.delivered
	for _, s := range x.plain {
		sum -= uint64(s.known)
		for c := uint32(1); c <= s.known; c++ {
			if f := s.fates[c]; f == history || f == unknown && (s.from == 0 || c < s.from) {
				sum++
			}
		}
	}
	if sum != 0 {
		x.fatalf("delivered, lost, unsettled and history are %d more than there are numbers", int64(sum))
	}
}

func TestReconcilerCountsWhatAnOriginSaidWhileTheNodeWasConnected(t *testing.T) {
	const settledAt = settled + time.Second
	named := digestOf(record{5, 4000, []wire.Run{run(4990, 4999)}})
	for _, c := range []struct {
		why  string
		at   time.Duration // of the first message, after CONNECTED
		page time.Duration // when a page named the origin; 0 for never
		want account
	}{
		{"what came before the first message may be history", time.Second, 0, account{5003, 0}},
		{"it may for a while", settled, 0, account{5003, 0}},
		{"later the node would have heard of the origin", settledAt, 0, account{1, 5002}},
		{"what a page named is history, and what follows is not", time.Second, time.Millisecond, account{5000, 3}},
		{"so it is for good", time.Hour, settled, account{5000, 3}},
		{"but not what a page names later", time.Hour, settledAt, account{1, 5002}},
	} {
		n := roomy()
		n.desk.Joined(0, 0)
		if c.page > 0 {
			n.desk.Heard(c.page, named, 0, 0, false)
		}
		o := n.desk.Origin(c.at, 5, 0)
		n.desk.Begin(c.at, o)
		o.Seen.Add(5003, n.origins.Pool())
		o.Taken(5003, n.origins.Pool())
		if got := (account{o.From, o.Missing()}); got != c.want {
			t.Errorf("%s: with 5003 at %v and a page at %v the account should be %v, but is %v", c.why, c.at, c.page, c.want, got)
		}
		n.desk.GiveUp(o, 5003)
		if missing := uint64(c.want.missing); n.desk.Lost() != missing || n.desk.Unsettled() != 0 {
			t.Errorf("%s: given up, %d should be lost, but %d are and %d are unsettled", c.why, missing, n.desk.Lost(), n.desk.Unsettled())
		}
	}
}

// A node that leaves and joins again cannot know what was said meanwhile.
func TestReconcilerHasHistoryAgainAfterRejoin(t *testing.T) {
	n := roomy()
	n.desk.Joined(0, 0)
	n.desk.Rejoin()
	n.desk.Joined(time.Hour, 0)
	o := n.desk.Origin(time.Hour, 5, 0)
	if n.desk.Begin(time.Hour, o); o.From != 0 {
		t.Fatalf("right after it joined again everything from %d on counts", o.From)
	}
}

// An own message that comes back is none of another's, even if the number after it is forged.
func TestReconcilerDeliversAndLosesNothingOfTheNodesOwn(t *testing.T) {
	n := roomy()
	n.desk.Ordered = true
	o, pool := n.desk.Origin(0, 5, 0), n.origins.Pool()
	for c := uint32(1); c <= 6; c++ {
		if c == 3 {
			o.Skip(3, pool)
			continue
		}
		o.Published(c, pool)
		n.log.Release(n.log.Put(5, c, nil, 0))
	}
	o.Seen.Add(8, pool)
	n.log.Release(n.log.Put(5, 8, nil, 0))
	n.desk.GiveUp(o, 7)
	var got []uint32
	n.desk.InOrder(o, func(e *datalog.Entry) { got = append(got, e.Counter) })
	if !slices.Equal(got, []uint32{8}) || n.desk.Lost() != 1 {
		t.Fatalf("behind 6 own messages 8 should be delivered and 7 lost, but delivered are %v and lost %d", got, n.desk.Lost())
	}
}

// What nobody retains any more is lost all the same, once it is certain that it was said.
func TestReconcilerCountsWhatOnlyPagesName(t *testing.T) {
	const origin, at = 5, time.Hour
	page := func(highest uint32) wire.Digest { return digestOf(record{origin, highest, nil}) }
	for _, c := range []struct {
		story   string
		hear    func(d *Reconciler)
		missing uint32
	}{
		{"one member may lie", func(d *Reconciler) {
			d.Heard(at, page(4000), 71, 71, false)
			d.Heard(at, page(4001), 71, 71, false)
		}, 0},
		{"what two name exists", func(d *Reconciler) {
			d.Heard(at, page(4000), 71, 71, false)
			d.Heard(at, page(3000), 72, 72, false)
			d.Heard(at, page(3999), 73, 73, false)
		}, 3999},
		{"the origin knows", func(d *Reconciler) { d.Heard(at, page(4000), 71, origin, false) }, 4000},
		{"nobody else will say so", func(d *Reconciler) { d.Heard(at, page(4000), 71, 71, true) }, 4000},
		{"what is too far for a window is not missing yet", func(d *Reconciler) { d.Heard(at, page(1<<32-2), 71, origin, false) }, versions.Width},
		{"no number follows the last", func(d *Reconciler) { d.Heard(at, page(1<<32-1), 71, origin, false) }, 0},
	} {
		n := roomy()
		n.desk.Joined(0, 0)
		c.hear(n.desk)
		if o := n.origins.Get(origin); o.Missing() != c.missing || n.desk.Unsettled() != uint64(c.missing) {
			t.Errorf("%s: %d are missing and %d unsettled, not %d", c.story, o.Missing(), n.desk.Unsettled(), c.missing)
		}
		for range n.origins.StaleGaps(at, time.Second) {
			t.Errorf("%s: it is stale at once", c.story)
		}
		for o, end := range n.origins.StaleGaps(at+time.Second, time.Second) {
			n.desk.GiveUp(o, end)
		}
		if n.desk.Lost() != uint64(c.missing) || n.desk.Unsettled() != 0 {
			t.Errorf("%s: in the end %d are lost and %d unsettled", c.story, n.desk.Lost(), n.desk.Unsettled())
		}
	}
}
