package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/wire"
)

// wanted is what offers showed to be missing here, and was requested: a request or its answer
// may be lost.
//
// Bound: mostWanted runs of numbers; beyond that, what is missing is left to comparisons.
type wanted struct{ runs []wantedRun }

type wantedRun struct {
	origin uint64
	run    wire.Run
	from   netip.AddrPort // of the member that offered
	due    time.Duration
	tries  int
}

const (
	mostWanted = 64
	mostTries  = 4 // further requests for the same
)

// request notes what is requested of the source of in, if it is validated: another one is sent
// the request only once.
func (n *Node) request(now time.Duration, in *datagram, digest wire.Digest) {
	if !in.validated() {
		return
	}
	w := &n.history.wanted
	for origin, runs := range digest.All(n.runs) {
		for _, r := range runs {
			if len(w.runs) == mostWanted {
				return
			}
			due := now + n.timeout(now, in.from)
			w.runs = append(w.runs, wantedRun{origin, r, in.from, due, 0})
			n.timers.Again.By(due)
		}
	}
}

// requestAgain requests again what is still missing and due.
func (n *Node) requestAgain(now time.Duration) {
	w := &n.history.wanted
	kept := w.runs[:0]
	for _, x := range w.runs {
		switch missing := n.history.repair.Lacks(x.origin, x.run); {
		case !missing || x.tries == mostTries && x.due <= now:
			continue
		case x.due <= now:
			n.sendDigest(nil, x.from, wire.Request, n.history.repair.Missing(x.origin, x.run, n.digestRoom(x.from)))
			x.tries++
			x.due = now + n.timeout(now, x.from)
		}
		kept = append(kept, x)
		n.timers.Again.By(x.due)
	}
	w.runs = kept
}

// sendRequest requests what is in the digest, if anything.
func (n *Node) sendRequest(in *datagram, wanted wire.Digest) {
	if wanted.Len() > 0 {
		n.sendDigest(in, in.from, wire.Request, wanted)
	}
}
