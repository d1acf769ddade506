package versions

import "time"

// Origin is what a node knows of one origin. Of the counters from From to the highest known each
// is in one of these states:
//
//   - seen and delivered; or, where order is kept, waiting for its turn: Waiting
//   - missing: Missing
//   - lost: counted by GiveUp, InTurn, or the Table when the origin made room
//   - skipped: history, as everything missing below From
//
// Bound: 184 bytes, and the gaps of its windows.
type Origin struct {
	ID        uint64
	Seen      Window // messages for everyone: Broadcast and Random
	Direct    Window // Direct messages, which have a counter of their own; it stays narrow
	From      uint32 // where counting begins, 0 if it has not; what is below is history, not loss
	Delivered uint32 // last counter that was delivered in order, where order is kept
	Vouched   uint32 // highest counter that a validated source has sent
	passed    uint32 // how many unseen the floor passed since Delivered, where order is kept

	AheadAt time.Duration // when a message beyond the window first came, 0 if none did
	AheadOf uint32        // the floor then

	// Named is for who compares: the number of the comparison that named the origin last.
	Named uint32

	told   uint32 // highest counter that a member has named
	teller uint32 // stands for that member

	waiting int // bytes of messages that wait for their turn

	touched    time.Duration
	introducer *introducer
	links      [lists]links

	youngAt time.Duration // when the current epoch of young messages began
	young   [2]uint32     // lowest counter received in it and in the one before; 0 if none
}

// NewOrigin returns an origin of which nothing is known. Its Seen widens as far as the Pool
// has room.
func NewOrigin(id uint64) *Origin {
	o := &Origin{ID: id}
	o.Seen.owner = o
	return o
}

// Taken notes that the message c, which was New, has been taken: counting begins no later.
func (o *Origin) Taken(c uint32, p *Pool) {
	switch {
	case o.From == 0:
		o.begin(c, p)
	case c < o.From:
		o.begin(c, p)
		p.history-- // it was counted itself
	}
}

// Published notes that c is the last number the node itself used, as this origin.
func (o *Origin) Published(c uint32, p *Pool) {
	o.Seen.Advance(c, p)
	o.From, o.Delivered, o.passed = 1, c, 0
}

// CountFrom makes counting begin at c, or behind the floor, if it has not begun yet.
func (o *Origin) CountFrom(c uint32, p *Pool) {
	if o.From == 0 {
		o.begin(max(c, o.Seen.Floor()+1), p)
	}
}

// begin makes counting begin at c. What is missing before is history.
func (o *Origin) begin(c uint32, p *Pool) {
	p.history += o.missingBefore(c) - o.missingBefore(o.From)
	o.From = c
}

// missingBefore returns how many counters between the floor and c were not seen.
func (o *Origin) missingBefore(c uint32) int64 {
	w := &o.Seen
	if c <= w.floor+1 {
		return 0
	}
	return int64(c-1-w.floor) - int64(w.count(uint64(w.floor)+1, uint64(min(c-1, w.highest))))
}

// Heard notes that a member, for which teller stands, has seen the counters up to c. So one that
// lies makes nothing missing, they are expected when another one says so too, or if it is sure.
func (o *Origin) Heard(c uint32, teller uint64, sure bool, p *Pool) {
	by := uint32(mix(teller))
	switch {
	case sure:
		o.Seen.Expect(c, p)
	case by != o.teller:
		o.Seen.Expect(min(c, o.told), p)
	}
	if c > o.told {
		o.told, o.teller = c, by
	}
}

// GiveUp moves the floor to at least floor and returns how many messages are lost by that.
// What is missing before From, or at all if counting has not begun, is history.
func (o *Origin) GiveUp(floor uint32, p *Pool) (lost uint32) {
	if o.From == 0 {
		o.Skip(floor, p)
		return 0
	}
	o.passed += o.Seen.Advance(min(floor, o.From-1), p)
	lost = o.Seen.Advance(floor, p)
	o.passed += lost
	return lost
}

// Skip moves the floor to at least floor. What is missing up to it is history.
func (o *Origin) Skip(floor uint32, p *Pool) {
	counted := o.missingBefore(o.From)
	unseen := o.Seen.Advance(floor, p)
	o.passed += unseen
	p.history += int64(unseen) - counted + o.missingBefore(o.From)
}

// Recount makes counting begin anew: all that was taken before may have a history that follows.
func (o *Origin) Recount(p *Pool) {
	p.history -= o.missingBefore(o.From)
	o.From = 0
}

// InTurn notes, where order is kept, that so many messages after Delivered, up to the floor,
// have been delivered. It returns how many others were seen, which are lost.
func (o *Origin) InTurn(delivered uint32) (lost uint32) {
	lost = o.Seen.Floor() - o.Delivered - o.passed - delivered
	o.Delivered, o.passed = o.Seen.Floor(), 0
	return lost
}

// Missing returns how many counters from From to the highest known are missing.
func (o *Origin) Missing() uint32 {
	if o.From == 0 || o.From > o.Seen.known || !o.Seen.Gap() {
		return 0
	}
	from := max(o.Seen.floor+1, o.From)
	return o.Seen.known - from + 1 - o.Seen.count(uint64(from), uint64(o.Seen.highest))
}

// Waiting returns how many messages above the floor are seen: those that wait for their
// turn, where order is kept.
func (o *Origin) Waiting() uint32 {
	return o.Seen.count(uint64(o.Seen.floor)+1, uint64(o.Seen.highest))
}

// Wait adds to the bytes of messages that wait for their turn, or takes from them.
func (o *Origin) Wait(bytes int) {
	o.waiting += bytes
	o.introducer.waiting += bytes
}

// MayWait reports whether so many bytes more of messages may wait for their turn, if in all used
// bytes of them do, of limit: those of the origins that one member told of take at most half of
// what others leave.
func (o *Origin) MayWait(bytes, used, limit int) bool {
	own := o.introducer.waiting
	return used+bytes <= limit && (o.introducer.id == 0 || own+bytes <= (limit-used+own)/2)
}

// Older returns the origin of the same table that was touched before, nil if there is none.
func (o *Origin) Older() *Origin { return o.links[inTable].older }

// Idle returns how long ago something was last learned of the origin.
func (o *Origin) Idle(now time.Duration) time.Duration { return max(0, now-o.touched) }

// MarkYoung notes that c was first received now, and is young until it has that age.
func (o *Origin) MarkYoung(c uint32, now, age time.Duration) {
	if age <= 0 {
		return
	}
	o.turn(now, age)
	if o.young[0] == 0 || c < o.young[0] {
		o.young[0] = c
	}
}

// YoungFrom returns the lowest counter received less than age ago, 0 if there is none. Two
// numbers approximate all times of arrival: the lowest counter of the current epoch of
// length age and that of the epoch before. So a counter stays young for at least age and at
// most twice that.
func (o *Origin) YoungFrom(now, age time.Duration) uint32 {
	if age <= 0 {
		return 0
	}
	o.turn(now, age)
	if o.young[0] == 0 || o.young[1] == 0 {
		return max(o.young[0], o.young[1])
	}
	return min(o.young[0], o.young[1])
}

// turn begins the epoch that contains now, if it has not begun yet.
func (o *Origin) turn(now, age time.Duration) {
	switch since := now - o.youngAt; {
	case since < age:
	case since < 2*age:
		o.youngAt, o.young = o.youngAt+age, [2]uint32{0, o.young[0]}
	default:
		o.youngAt, o.young = now-now%age, [2]uint32{}
	}
}
