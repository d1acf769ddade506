package view

import (
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

const (
	// keepLost is how long a lost member is looked for. It outlasts a partition of an hour.
	keepLost = time.Hour + 30*time.Second

	// A candidate that does not answer is sent a Hello again after a part of its silence, so that
	// a cut of any length is noticed within that part of it.
	silencePart = 24
	leastPause  = time.Second
	seedPause   = time.Minute      // at most, to a seed
	alonePause  = 4 * time.Second  // to a seed, of a node without members
	cutPause    = 10 * time.Second // to one of the latest lost, of a node that lost more members than it has, or that others tell of

	// A seed that answers rests for as long as its answers have been of known members. A
	// virtual address leads to another node only after its flow was idle for minutes.
	leastRest = 5 * time.Second
	mostRest  = 8 * time.Minute

	// A node known by hearsay that did not answer is asked again after such pauses, which double.
	leastHearsay = 10 * time.Second
	mostHearsay  = time.Hour

	enoughTellers = 3 // members that tell of a node there: it is asked after the first pause

	toldPause = 10 * time.Second // between two Hellos to a node because others tell of it

	mostProbes  = 8   // in a round
	manyMembers = 128 // so many look for a lost member that each does it less

	urgent = 1e6 // pauses: those of whom others tell go before the rest, which never waited for so many

	latest = 4 // lost members that are looked for eagerly by a node that may be cut off
)

// Probes appends the addresses that are owed a Hello, at most that many, those that have waited
// longest for their pause first. There are at most two in a round, but eight of those that others
// tell of, or if the node may be cut off: if it lost more members than it has. It forgets members
// that were lost long ago.
func (r *Members) Probes(dst []netip.AddrPort, most int, now time.Duration, rng *rand.Rand) []netip.AddrPort {
	c := &r.candidates
	for _, x := range c.kinds[isSeed] {
		if now-x.at > keepLost {
			c.find(x)
		}
	}
	for of := &c.kinds[isLost]; len(*of) > 0 && now-(*of)[0].at > keepLost; {
		c.forget((*of)[0])
	}
	for of := &c.kinds[isHearsay]; len(*of) > 0 && now-(*of)[0].at > mostHearsay; {
		c.forget((*of)[0])
	}
	n, cut := 2, len(c.lost) > r.Len()
	if r.Len() > manyMembers {
		n = 1
	}
	if cut || r.Len() == 0 {
		n = mostProbes
	}
	for i := range min(mostProbes, most) {
		var next *candidate
		var pause time.Duration
		over := 0.0
		for kind, of := range c.kinds {
			for i, x := range of {
				if kind == isHearsay && x.told == 0 || slices.Contains(dst, x.addr) {
					continue
				}
				c.looked(x)
				p := r.pause(x, cut && kind == isLost && i >= len(of)-latest)
				o := float64(now-x.askedAt) / float64(p)
				if x.told != 0 && o >= 1 {
					o += urgent
				}
				if o >= max(1, over) {
					next, pause, over = x, p, o
				}
			}
		}
		if next == nil || i >= n && next.told == 0 {
			break
		}
		next.askedAt = now - time.Duration(rng.Int64N(int64(pause)/8+1))
		if next.told = 0; next.kind() == isHearsay {
			next.at, next.askedAt = now, now
			c.list(next)
		}
		dst = append(dst, next.addr)
	}
	return dst
}

// pause returns how long after the last Hello a candidate is owed the next one.
func (r *Members) pause(x *candidate, cut bool) time.Duration {
	same := x.askedAt - x.since
	switch {
	case r.ByAddr(x.addr) != nil:
		return mostRest
	case x.kind() == isHearsay && bits.OnesCount64(x.told) >= enoughTellers:
		return leastHearsay
	case x.kind() == isHearsay:
		return clamp(same, leastHearsay, mostHearsay)
	case x.echoes || x.by != 0 && r.Len() > 0:
		return clamp(same, leastRest, mostRest)
	case x.seed && r.Len() == 0:
		return clamp(same/8, leastPause, alonePause)
	case cut, x.told != 0:
		return clamp(same/silencePart, leastPause, cutPause)
	case x.seed:
		return clamp(same/silencePart, leastPause, seedPause)
	default:
		return max(same/silencePart, leastPause)
	}
}

func clamp(d, least, most time.Duration) time.Duration { return min(max(d, least), most) }
