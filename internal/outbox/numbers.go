package outbox

import "time"

// dataNumber is the bit that tells the sequence numbers of Data, which are looked up in the
// numbers of a peer queue, from those of control, which are random.
const dataNumber = 1 << 31

// The bounds of the memory for numbers.
const (
	leastNumbers = 16
	mostNumbers  = 1 << 14
)

// numbers gives out the sequence numbers of Data to one recipient, and finds what was sent
// with one. Each attempt has a number of its own, as in QUIC (RFC 9002, section 3), so that an
// acknowledgement tells which attempt arrived. Numbers are consecutive from a random one on:
// what one recipient is sent tells nothing of the numbers of another.
//
// Every attempt is remembered while its message waits: where answers take much longer than
// expected, each comes to an attempt long ago, and none would be recognized otherwise.
//
// Bound: the last 16 attempts, and those before them back to the oldest one of what waits, but
// never more than 16,384, of 24 bytes each.
type numbers struct {
	next  uint32
	slots []attempt // by number modulo its length, a power of two
}

type attempt struct {
	e    *Envelope
	uses uint32 // of e, when it was sent
	seq  uint32
	at   time.Duration
}

// waits reports whether the envelope of the attempt was neither answered nor dropped since.
func (a *attempt) waits() bool { return a.e != nil && a.e.uses == a.uses }

// stamp gives e, which is sent now, the next number.
func (n *numbers) stamp(e *Envelope, now time.Duration) {
	if n.slots == nil {
		n.slots = make([]attempt, leastNumbers)
	}
	if n.at(n.next).waits() && len(n.slots) < mostNumbers {
		n.grow()
	}
	e.Seq = n.next | dataNumber
	*n.at(n.next) = attempt{e, e.uses, e.Seq, now}
	n.next++
}

// find returns the envelope that was sent with a number, and when; nil if it is not known or
// waits no more.
func (n *numbers) find(seq uint32) (e *Envelope, at time.Duration) {
	if n.slots == nil {
		return nil, 0
	}
	a := n.at(seq)
	if !a.waits() || a.seq != seq {
		return nil, 0
	}
	return a.e, a.at
}

func (n *numbers) at(seq uint32) *attempt { return &n.slots[seq&uint32(len(n.slots)-1)] }

func (n *numbers) grow() {
	old := n.slots
	n.slots = make([]attempt, 2*len(old))
	for _, a := range old {
		if a.e != nil {
			*n.at(a.seq) = a
		}
	}
}
