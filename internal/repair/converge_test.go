package repair

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// link carries Statuses between two nodes without loss, and holds every answer
// against what a simple-minded node would have said.
type link struct {
	t      *testing.T
	seed   uint64
	room   int // of a digest
	budget int // messages pushed in answer to one, -1 for any number
	moved  int // messages that were new where they went
}

// compare is one comparison: from sends the page behind an origin to to, which answers. It
// returns the last origin of the page.
func (l *link) compare(now time.Duration, from, to *node, after uint64) (last uint64) {
	page, last := from.desk.Page(now, after, l.room)
	page = carry(l.t, page, l.room)
	records := read(page)
	lacks, wants := lacking(now, to, records), wanting(to, records, true)

	pushed := &basket{takes: l.budget}
	wanted := carry(l.t, to.desk.Compare(now, page, l.room, pushed), l.room)
	l.checkPushed("in answer to a page", pushed, lacks)
	l.checkWanted(wanted, wants)

	asked := serving(from, read(wanted))
	served := &basket{takes: l.budget}
	from.desk.Serve(wanted, served)
	l.checkPushed("when asked", served, asked)

	l.deliver(now, pushed.got, from)
	l.deliver(now, served.got, to)
	return last
}

// round lets a node page once through all origins.
func (l *link) round(now time.Duration, from, to *node) {
	after := uint64(0)
	for range 10000 {
		if after = l.compare(now, from, to, after); after == 0 {
			return
		}
	}
	l.t.Fatalf("seed %d: 10000 pages do not reach the last of %d origins", l.seed, from.origins.Len())
}

func (l *link) deliver(now time.Duration, all []message, to *node) {
	for _, m := range all {
		if to.take(now, m, true) {
			l.moved++
		}
	}
}

func (l *link) checkPushed(when string, b *basket, want []message) {
	l.t.Helper()
	if l.budget >= 0 && len(want) > l.budget {
		want = want[:l.budget]
		if b.calls != l.budget+1 {
			l.t.Fatalf("seed %d: %s a pusher refused message %d, and that should be the last it is shown, but it was shown %d", l.seed, when, l.budget+1, b.calls)
		}
	}
	if !slices.Equal(b.got, want) {
		l.t.Fatalf("seed %d: %s these should be pushed: %v, but these are: %v", l.seed, when, want, b.got)
	}
}

// checkWanted holds a request against all that is wanted. It may break off where
// the room ends, but no sooner.
func (l *link) checkWanted(request wire.Digest, want []message) {
	l.t.Helper()
	got := messages(read(request))
	whole := len(got) == len(want)
	if !whole && len(got) < len(want) && slices.Equal(got, want[:len(got)]) {
		left := l.room - len(request.Bytes())
		next := want[len(got)]
		cut := len(got) > 0 && got[len(got)-1].origin == next.origin
		whole = left < runSize || !cut && left < minRecord
	}
	if !whole || !slices.Equal(got, want[:len(got)]) {
		l.t.Fatalf("seed %d: with room for %d bytes these are wanted: %v, but these are asked for: %v", l.seed, l.room, want, got)
	}
}

// lacking lists what a node must push in answer to a page: what its sender lacks, up to the first
// in each gap that is young.
func lacking(now time.Duration, n *node, page []record) (all []message) {
	for _, x := range page {
		waits := -1 // the gap in which one is young
		for e := n.log.From(x.origin, 0); e != nil; e = n.log.Next(e) {
			gap := 0 // by the runs below it
			for gap < len(x.runs) && x.runs[gap].Last < e.Counter {
				gap++
			}
			switch {
			case x.has(e.Counter) || gap == waits:
			case now-e.Born < 2*youngFor:
				waits = gap
			default:
				all = append(all, message{x.origin, e.Counter})
			}
		}
	}
	return all
}

// wanting lists what a node must ask for when somebody says what he has: what it
// could record and has not seen. Of an origin of which it knows nothing, and
// whose history is too long to take in, it takes the end. The floor of an offer
// is only where its runs begin.
func wanting(n *node, digest []record, floors bool) (all []message) {
	for _, x := range digest {
		if !floors {
			x.floor = 0
		}
		var window versions.Window
		if o := n.origins.Get(x.origin); o != nil {
			window = o.Seen
		}
		last := x.floor
		for _, r := range x.runs {
			last = max(last, r.Last)
		}
		if window.Highest() == 0 && last > versions.Width {
			window.Reset(last-versions.Width, n.origins.Pool())
		}
		for c := uint64(window.Floor()) + 1; c <= min(uint64(window.Floor())+versions.Width, uint64(last)); c++ {
			if x.has(uint32(c)) && !window.Has(uint32(c)) {
				all = append(all, message{x.origin, uint32(c)})
			}
		}
	}
	return all
}

// serving lists what a node must push when asked for it.
func serving(n *node, request []record) (all []message) {
	for _, x := range request {
		for _, r := range x.runs {
			for _, c := range counters(r) {
				if n.log.Get(x.origin, c) != nil {
					all = append(all, message{x.origin, c})
				}
			}
		}
	}
	return all
}

// past gives a node what it may have lived through: messages of many origins,
// some of which it missed (if it may), forgot, or gave up. The newest came just
// before now.
func past(r *rand.Rand, n *node, now time.Duration, origins []uint64, bases []uint32, gaps bool) *node {
	for i, origin := range origins {
		if r.IntN(5) == 0 {
			continue // never heard of
		}
		var (
			count   = r.IntN(60)
			from    = bases[i]
			misses  = r.IntN(3)
			forgets = r.IntN(3)
		)
		if !gaps {
			misses, forgets = 0, 0
		}
		if r.IntN(4) == 0 {
			from += uint32(r.IntN(5 * versions.Width / 4)) // it came late, or was away for longer than a window
		}
		for k := range count {
			m := message{origin, from + uint32(k) + 1}
			born := max(0, now-time.Duration(count-k)*time.Duration(r.IntN(10))*time.Millisecond)
			switch {
			case m.counter < from || r.IntN(4) < misses:
			case r.IntN(4) < forgets:
				n.knew(origin, run(m.counter, m.counter))
			default:
				n.take(born, m, r.IntN(2) == 0)
			}
		}
		if r.IntN(4) == 0 {
			n.gaveUp(origin, from+uint32(r.IntN(count+1)))
		}
	}
	return n
}

// world picks origins and where their numbers begin.
func world(r *rand.Rand) (origins []uint64, bases []uint32) {
	for range 1 + r.IntN(12) {
		origins = append(origins, 1+r.Uint64N(lastOrigin))
	}
	if r.IntN(3) == 0 {
		origins = append(origins, 1, lastOrigin) // at the ends of the last page
	}
	for range origins {
		base := uint32(0)
		switch r.IntN(4) {
		case 0:
			base = uint32(r.IntN(3000))
		case 1:
			base = lastCounter - 3000 + uint32(r.IntN(3000)) // the numbers are nearly used up
		}
		bases = append(bases, base)
	}
	return origins, bases
}

// converged fails unless both nodes have seen what either retained, and been
// given all of it that a window tells apart.
func (l *link) converged(had map[message]bool, a, b *node) {
	l.t.Helper()
	highest := map[uint64]uint32{}
	for _, n := range []*node{a, b} {
		for o := n.origins.Newest(); o != nil; o = o.Older() {
			highest[o.ID] = max(highest[o.ID], o.Seen.Highest())
		}
	}
	for m, given := range had {
		late := uint64(m.counter)+versions.Width > uint64(highest[m.origin])
		switch {
		case !a.has(m) || !b.has(m):
			l.t.Fatalf("seed %d: message %v was retained by one of two nodes, and both should have seen it by now, but have they? %v, %v", l.seed, m, a.has(m), b.has(m))
		case given && late && (a.log.Get(m.origin, m.counter) == nil || b.log.Get(m.origin, m.counter) == nil):
			l.t.Fatalf("seed %d: message %v was retained by one of two nodes and is among the last %d of its origin, but was given up by the other", l.seed, m, versions.Width)
		}
	}
}

// holdings is what the nodes retain; true for what neither has seen without
// retaining it, so that the other must be given it.
func holdings(a, b *node) map[message]bool {
	had := map[message]bool{}
	for _, n := range []*node{a, b} {
		for _, e := range n.retained() {
			m := message{e.Origin, e.Counter}
			had[m] = (!a.has(m) || a.log.Get(m.origin, m.counter) != nil) && (!b.has(m) || b.log.Get(m.origin, m.counter) != nil)
		}
	}
	return had
}

// wholeRecord is room for an origin of past with all its runs: where a page breaks one off, the rest
// of it may never be named.
const wholeRecord = recordFixed + 60*runSize

func TestTwoNodesComeToHaveSeenTheSame(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		origins, bases := world(r)
		now := 10 * time.Second
		a := past(r, roomy(), now, origins, bases, true)
		b := past(r, roomy(), now, origins, bases, true)
		had := holdings(a, b)

		// Two comparisons while everything is on its way still, then all is old.
		l := &link{t: t, seed: seed, room: wholeRecord + r.IntN(300), budget: -1}
		l.compare(now, a, b, 0)
		l.compare(now+youngFor, b, a, 0)
		now += 2*youngFor + time.Second

		// Once round each way brings all, but for what a request has no room for.
		for moved := -1; l.moved != moved; {
			moved = l.moved
			now += time.Second
			l.round(now, a, b)
			l.round(now, b, a)
		}
		l.converged(had, a, b)
	}
}

// A node that pushes few messages at a time needs more rounds, but each brings
// on both. This holds of pages that name an origin with all its runs or not at
// all: where a page breaks off, the pushed may be spent on what is there already.
func TestTwoNodesComeToHaveSeenTheSameLittleByLittle(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 2))
		origins, bases := world(r)
		now := 10 * time.Second
		gaps := seed%2 == 0
		a := past(r, roomy(), now, origins, bases, gaps)
		b := past(r, roomy(), now, origins, bases, gaps)
		had := holdings(a, b)

		l := &link{t: t, seed: seed, room: 4096, budget: 1 + r.IntN(8)}
		if !gaps {
			l.room = recordFixed + 3*runSize // a page for each origin
		}
		rounds, moved := 0, -1
		for most := len(had)/l.budget + 3; l.moved != moved; rounds++ {
			if rounds > most {
				t.Fatalf("seed %d: %d messages, %d in answer to each page, should have come across in %d rounds", seed, len(had), l.budget, most)
			}
			moved = l.moved
			now += time.Second
			l.round(now, a, b)
			l.round(now, b, a)
		}
		l.converged(had, a, b)
	}
}

// Small logs forget while the nodes talk. What is retained in the end was seen
// by both all the same, and the talk does end.
func TestTwoNodesThatForgetComeToRest(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		origins, bases := world(r)
		now := 10 * time.Second
		a := past(r, newNode(r.IntN(20000)), now, origins, bases, true)
		b := past(r, newNode(r.IntN(20000)), now, origins, bases, true)
		l := &link{t: t, seed: seed, room: wholeRecord + r.IntN(300), budget: -1}
		for moved := -1; l.moved != moved; {
			moved = l.moved
			now += time.Second
			l.round(now, a, b)
			l.round(now, b, a)
		}
		l.converged(holdings(a, b), a, b)
	}
}
