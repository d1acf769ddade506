package repair

import (
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

const (
	lastOrigin  = 1<<64 - 1
	lastCounter = 1<<32 - 1

	recordFixed = 13 // bytes of a record without runs: origin, floor, number of runs
	runSize     = 4
	minRecord   = recordFixed + runSize
	mostRuns    = 255
	anyRoom     = 1 << 20
	old         = time.Hour // late enough for whatever was born at 0
)

// message names one.
type message struct {
	origin  uint64
	counter uint32
}

// record is one record of a digest as one would write it down.
type record struct {
	origin uint64
	floor  uint32
	runs   []wire.Run
}

func (a record) equal(b record) bool {
	return a.origin == b.origin && a.floor == b.floor && slices.Equal(a.runs, b.runs)
}

// has tells whether c is at most the floor or in a run, the slow way.
func (a record) has(c uint32) bool {
	return c <= a.floor || slices.ContainsFunc(a.runs, func(r wire.Run) bool { return r.First <= c && c <= r.Last })
}

// counters lists what the runs stand for.
func counters(runs ...wire.Run) (all []uint32) {
	for _, r := range runs {
		for c := uint64(r.First); c <= uint64(r.Last); c++ {
			all = append(all, uint32(c))
		}
	}
	return all
}

// messages lists what the runs of the records stand for.
func messages(records []record) (all []message) {
	for _, x := range records {
		for _, c := range counters(x.runs...) {
			all = append(all, message{x.origin, c})
		}
	}
	return all
}

// run is what a digest says of the counters from first to last.
func run(first, last uint32) wire.Run { return wire.Run{First: first, Last: last} }

// digestOf returns a digest of the records.
func digestOf(all ...record) wire.Digest {
	var d wire.Digest
	for _, x := range all {
		d.Add(x.origin, x.floor, x.runs, anyRoom)
	}
	return d
}

// read takes all records off a digest.
func read(d wire.Digest) (all []record) {
	for {
		origin, floor, runs, ok := d.Next(nil)
		if !ok {
			return all
		}
		all = append(all, record{origin, floor, runs})
	}
}

// carry takes a digest over the network: a copy comes out, if it parses.
func carry(t *testing.T, d wire.Digest, room int) wire.Digest {
	t.Helper()
	if len(d.Bytes()) > room {
		t.Fatalf("a digest of %d bytes was made where there is room for %d", len(d.Bytes()), room)
	}
	got, n, ok := wire.ParseDigest(slices.Clone(d.Bytes()), d.Len())
	if !ok || n != len(d.Bytes()) {
		t.Fatalf("the records %v do not parse at the other end", read(d))
	}
	return got
}

// node is as much of a gossip node as repair has to do with.
type node struct {
	desk    *Reconciler
	log     *datalog.Log
	origins *versions.Table
}

func newNode(logSize int) *node {
	n := &node{log: datalog.New(logSize), origins: versions.NewTable(1 << 16)}
	n.desk = NewReconciler(n.log, n.origins)
	return n
}

// roomy returns a node whose log evicts nothing in a test.
func roomy() *node { return newNode(1 << 30) }

// take receives a message as a node does: a newer one than the window has room
// for moves it on, and the newest is young unless it came by repair. It reports
// whether the message was new.
func (n *node) take(now time.Duration, m message, repaired bool) bool {
	o, _, _ := n.origins.Add(m.origin, 0, now, 0)
	newest := m.counter > o.Seen.Highest()
	o.Seen.MakeRoom(m.counter, n.origins.Pool())
	if o.Seen.Add(m.counter, n.origins.Pool()) != versions.New {
		return false
	}
	n.log.Release(n.log.Put(m.origin, m.counter, nil, now))
	if newest && !repaired {
		o.MarkYoung(m.counter, now, Epoch)
	}
	return true
}

// hear takes the counters of the runs at time 0.
func (n *node) hear(origin uint64, runs ...wire.Run) *node {
	for _, c := range counters(runs...) {
		n.take(0, message{origin, c}, false)
	}
	return n
}

// knew makes a node that has seen the counters and retains none of them.
func (n *node) knew(origin uint64, runs ...wire.Run) *node {
	o, _, _ := n.origins.Add(origin, 0, 0, 0)
	for _, c := range counters(runs...) {
		o.Seen.MakeRoom(c, n.origins.Pool())
		o.Seen.Add(c, n.origins.Pool())
	}
	return n
}

// gaveUp moves the floor of an origin.
func (n *node) gaveUp(origin uint64, floor uint32) *node {
	o, _, _ := n.origins.Add(origin, 0, 0, 0)
	o.Seen.Advance(floor, n.origins.Pool())
	return n
}

// has tells whether a message is seen or given up.
func (n *node) has(m message) bool {
	o := n.origins.Get(m.origin)
	return o != nil && o.Seen.Has(m.counter)
}

// retained lists what is in the log of the origins that the table knows, those touched last first.
func (n *node) retained() (all []*datalog.Entry) {
	for o := n.origins.Newest(); o != nil; o = o.Older() {
		for e := n.log.From(o.ID, 0); e != nil; e = n.log.Next(e) {
			all = append(all, e)
		}
	}
	return all
}

// basket is a Pusher that remembers what it was given, and takes so many.
type basket struct {
	got   []message
	takes int // -1 for any number
	calls int
}

func (b *basket) Push(e *datalog.Entry) bool {
	b.calls++
	if b.takes >= 0 && len(b.got) >= b.takes {
		return false
	}
	b.got = append(b.got, message{e.Origin, e.Counter})
	return true
}

func bottomless() *basket { return &basket{takes: -1} }

func TestWhoSkipsHistoryWantsOnlyOfOriginsThatItCounts(t *testing.T) {
	d := NewReconciler(datalog.New(1<<10), versions.NewTable(8))
	d.SkipHistory()
	d.Joined(0, time.Hour)
	d.Skip(0, digestOf(record{5, 10, nil}, record{7, 10, nil}), false, 0, func(*versions.Origin) {})
	d.origins.Get(5).Taken(11, d.origins.Pool())
	offer := digestOf(record{5, 10, []wire.Run{run(11, 12)}}, record{6, 0, []wire.Run{run(1, 3)}}, record{7, 10, []wire.Run{run(11, 11)}})
	if got := messages(read(d.Want(0, offer, anyRoom))); !slices.Equal(got, []message{{5, 11}, {5, 12}}) {
		t.Errorf("of an offer it wants %v", got)
	}
	if got := messages(read(d.Want(time.Hour, offer, anyRoom))); len(got) != 6 {
		t.Errorf("once it does not skip any more it wants %v", got)
	}
}

// What came since the node is there is no history, whoever says in a page that it saw it.
func TestWhatFollowsAMessageThatWasTakenIsNoHistory(t *testing.T) {
	d := NewReconciler(datalog.New(1<<10), versions.NewTable(8))
	d.SkipHistory()
	o := d.Origin(0, 5, 0)
	d.SkipTo(o, 9)
	o.Seen.Add(10, d.origins.Pool())
	o.Taken(10, d.origins.Pool())
	d.Skip(0, digestOf(record{5, 20, nil}, record{6, 20, nil}), true, 0, func(*versions.Origin) {})
	if got := d.origins.Get(5).Seen.Floor(); got != 10 {
		t.Errorf("of what followed a message that was taken all up to %d is skipped", got)
	}
	if got := d.origins.Get(6).Seen.Floor(); got != 20 {
		t.Errorf("of an origin of which nothing was taken all up to %d is skipped, not to 20", got)
	}
}

func TestSkippingEndsWithTheLastPageOfAMemberThatKnowsAnything(t *testing.T) {
	d := NewReconciler(datalog.New(1<<10), versions.NewTable(8))
	d.SkipHistory()
	for _, c := range []struct {
		page wire.Digest
		last bool
		ends bool
	}{{wire.Digest{}, true, false}, {digestOf(record{5, 1, nil}), false, false}, {digestOf(record{6, 1, nil}), true, true}} {
		d.Skip(0, c.page, c.last, 0, func(*versions.Origin) {})
		if d.Skipping(0) == c.ends {
			t.Errorf("after a page of %d origins, which was the last: %v, skipping goes on: %v", c.page.Len(), c.last, !c.ends)
		}
	}
}

func TestRepairsFromBeforeTheNodeJoinedAreHistoryForAWhile(t *testing.T) {
	const joined, most = time.Minute, 30 * time.Second
	d := NewReconciler(datalog.New(1<<10), versions.NewTable(8))
	d.Joined(joined, most)
	if d.History(time.Hour, joined) {
		t.Error("a node that skips no history takes a repair for it")
	}
	d.SkipHistory()
	if !d.History(time.Hour, joined) {
		t.Error("before the node has found anybody a repair is no history")
	}
	d.Joined(joined, most)
	d.Joined(joined+20*time.Second, most) // again, after it was alone
	for _, c := range []struct {
		age, after time.Duration
		want       bool
	}{
		{0, 0, false}, {2 * time.Second, 0, false}, {3 * time.Second, 0, true},
		{16 * time.Second, 16 * time.Second, false}, {20 * time.Second, 16 * time.Second, false}, {21 * time.Second, 16 * time.Second, true},
		{time.Hour, most - 1, true}, {time.Hour, most, false},
	} {
		if got := d.History(c.age, joined+c.after); got != c.want {
			t.Errorf("%v after the node has joined a repair that is %v old is taken for history: %v", c.after, c.age, got)
		}
	}
}
