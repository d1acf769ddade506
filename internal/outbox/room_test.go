package outbox

import (
	"net/netip"
	"testing"

	"example.com/gossip/internal/wire"
)

func TestControlDisplacesItsOldest(t *testing.T) {
	q := newBench(t, Config{Limit: 4})
	first := q.control(1, 100, 3)
	q.flush() // also one that was sent and waits for an answer is the oldest
	for i := range 3 {
		q.control(2+i, 100, 3)
	}
	q.want(q.stats.Dropped == 0 && q.age.len == 4, "4 of 4 fit")
	seq := first.Seq
	q.control(9, 100, 3)
	q.want(q.stats.Dropped == 1 && q.age.len == 4, "the fifth should displace one and be counted: %d, %d", q.stats.Dropped, q.age.len)
	q.want(q.Find(seq) == nil, "the one displaced should be the oldest")
	for range 20 {
		q.want(q.copyTo(1, 3) != nil, "Data is the caller's to refuse")
	}
	q.want(q.age.len == 4 && q.stats.Dropped == 1, "a full data queue should leave control alone")
	q.audit()
}

func TestOneRecipientGetsItsShareOfControl(t *testing.T) {
	for _, c := range []struct{ limit, share int }{{1, 1}, {10, 10}, {16, 16}, {40, 16}, {64, 16}, {400, 100}} {
		q := newBench(t, Config{Limit: c.limit})
		n := 0
		for q.control(1, 100, 3) != nil {
			n++
			q.want(n <= c.limit, "of a limit of %d one recipient gets more", c.limit)
			if c.share == c.limit && n == c.limit {
				break // the next displaces the first
			}
		}
		q.want(n == c.share && q.Share() == c.share, "of a limit of %d one recipient gets %d, and Share says %d, not %d", c.limit, n, q.Share(), c.share)
	}
}

func TestGoodbyesDisplaceNothingAndGoToAll(t *testing.T) {
	q := newBench(t, Config{Limit: 4})
	for range q.Share() { // one recipient has its share, which is all that there is
		q.control(0, 100, 1)
	}
	for i := range 10 {
		q.want(q.Emit(peerAddr(i), wire.TypeLeave, []byte("\x00\x08 bytes"), NoAnswer) != nil, "recipient %d gets no goodbye", i)
	}
	q.want(len(kinds(q.flush())) == 14 && q.stats.Dropped == 0, "of 14 messages %d were dropped", q.stats.Dropped)
}

func TestDataThatFitsInNoDatagramIsNotQueued(t *testing.T) {
	q := newBench(t, Config{})
	most := q.config.Room - wire.DataSize(wire.FlagArc, 0)
	for _, flags := range []uint8{0, wire.FlagDirect, wire.FlagPull} { // an arc or a recipient may be added
		q.want(q.EmitData(peerAddr(1), Copy{Entry: q.log.Detached(7, 1, make([]byte, most), 0), Flags: flags}, 3) != nil, "%d bytes fit with an arc", most)
		q.want(q.EmitData(peerAddr(1), Copy{Entry: q.log.Detached(7, 1, make([]byte, most+1), 0), Flags: flags}, 3) == nil, "%d bytes do not", most+1)
	}
	q.audit()
}

// takesOwn counts how many copies of class Own a queue takes for recipients in turn.
func (q *bench) takesOwn(recipients int, alone bool) (n int) {
	for q.Takes(peerAddr(n%recipients), Own, 1, alone) {
		q.copyTo(n%recipients, UntilAnswered)
		n++
	}
	return n
}

func TestOwnCopiesMayNumberLimitWhileTheyAreUnsent(t *testing.T) {
	for _, c := range []struct {
		limit, recipients int
		alone             bool
		want              int
	}{
		{64, 100, false, 64},
		{64, 4, false, 64},
		{64, 2, false, 32}, // a quarter each
		{64, 1, false, 16},
		{64, 1, true, 64},
		{5, 1, false, 1},
		{1, 1, false, 1},
		{1, 3, false, 1},
		{1, 1, true, 1},
	} {
		q := newBench(t, Config{Limit: c.limit})
		n := q.takesOwn(c.recipients, c.alone)
		q.want(n == c.want && q.Spare() == c.limit-n, "of a limit of %d %d recipients, alone %v, get %d copies, not %d, and %d are to spare", c.limit, c.recipients, c.alone, n, c.want, q.Spare())
		q.audit()
		q.flush()
		q.want(q.Spare() == c.limit, "what was sent counts no more, but %d of %d are to spare", q.Spare(), c.limit)
		q.want(q.Takes(peerAddr(999), Own, 1, false), "there is room for more")
		q.audit()
	}
}

// A sender that was refused waits until half of the room is free, and half of that for each
// recipient, or else it would find room for one copy at a time.
func TestHalfOfTheRoomIsFreeForEachRecipient(t *testing.T) {
	nobody := netip.AddrPort{}
	for _, c := range []struct {
		limit, recipients, copies int
		only                      netip.AddrPort
		want                      int
	}{
		{64, 100, 1, nobody, 32},
		{64, 100, 40, nobody, 24},
		{64, 100, 99, nobody, 0},
		{64, 1, 1, nobody, 8}, // half of a quarter
		{64, 1, 1, peerAddr(0), 32},
		{5, 1, 1, nobody, 1},
		{1, 1, 1, nobody, 0},
	} {
		q := newBench(t, Config{Limit: c.limit})
		n := 0
		for q.HalfFree(c.copies, c.only) && n < c.limit {
			q.copyTo(n%c.recipients, UntilAnswered)
			n++
		}
		q.want(n == c.want || n == c.want+1, "of a limit of %d %d recipients get %d copies, and room for %d, not %d", c.limit, c.recipients, n, c.copies, c.want)
		q.audit()
	}
}

// The bytes of what waits for an answer count too.
func TestCopiesOfAClassAreBoundedInBytes(t *testing.T) {
	const limit = 40
	const bytes = bytesEach * limit
	each := envelopeSize + payload
	for _, c := range []struct {
		class Class
		hops  uint8
		alone bool
		most  int // bytes to one recipient
		all   int // bytes to all
	}{
		{Own, 1, false, bytes / 2, bytes},
		{Own, 1, true, bytes, bytes},
		{Relayed, 0, true, bytes / 8, bytes / 8},
		{Relayed, 1, true, bytes / 8, bytes / 8},
		{Relayed, 3, true, bytes / 8 * 3, bytes / 8 * 3},
		{Relayed, 8, true, bytes, bytes},
		{Relayed, 255, true, bytes, bytes},
		{Relayed, 1, false, bytes / 8 / 4, bytes / 8},
		{Relayed, 8, false, bytes / 4, bytes},
	} {
		q := newBench(t, Config{Limit: limit})
		send := func(to int) (n int) {
			for q.Takes(peerAddr(to), c.class, c.hops, c.alone) {
				e := q.EmitData(peerAddr(to), Copy{Entry: q.one, Class: c.class, Hops: c.hops}, UntilAnswered)
				e.peer.window = mostWindow
				q.flush()
				n += each
			}
			return n
		}
		one := send(0)
		q.want(one > c.most-each && one <= c.most+2*each, "%+v: one recipient gets %d bytes, not %d", c, one, c.most)
		all := one
		for to := 1; to < 50; to++ {
			all += send(to)
		}
		q.want(all >= c.all && all < c.all+each, "%+v: all get %d bytes, not %d", c, all, c.all)
		q.audit()
		for _, other := range []Class{Own, Relayed} {
			q.want(other == c.class || q.Takes(peerAddr(99), other, 1, false), "%+v: class %d should have room of its own", c, other)
		}
		q.want(q.TakesRepair(peerAddr(99)), "%+v: repairs should have room of their own", c)
	}
}

// Nodes whose queues are all full of copies drain, because those near their end find room.
func TestARelayedCopyFindsRoomBesideThoseOfFewerHops(t *testing.T) {
	q := newBench(t, Config{Limit: 16})
	fill := func(hops uint8) {
		for to := 0; q.Takes(peerAddr(to%40), Relayed, hops, true); to++ {
			q.EmitData(peerAddr(to%40), Copy{Entry: q.one, Class: Relayed, Hops: hops}, UntilAnswered)
		}
	}
	for hops := uint8(1); hops < hopClasses; hops++ {
		fill(hops)
		q.want(!q.Takes(peerAddr(99), Relayed, hops, true), "the room for copies of %d hops is full", hops)
		q.want(q.Takes(peerAddr(99), Relayed, hops+1, true), "a copy of %d hops should find room beside those of %d", hops+1, hops)
	}
	q.audit()
}

func TestRepairsHaveRoomOfTheirOwn(t *testing.T) {
	q := newBench(t, Config{Limit: 64})
	n := 0
	for ; q.TakesRepair(peerAddr(1)); n++ {
		q.repairTo(1)
	}
	q.want(n == q.Share(), "one recipient gets %d repairs, its share is %d", n, q.Share())
	for to := 2; to < 10; to++ {
		for ; q.TakesRepair(peerAddr(to)); n++ {
			q.repairTo(to)
		}
	}
	q.want(n == 64 && q.Takes(peerAddr(1), Own, 1, false) && q.Spare() == 64, "all get %d repairs, not 64, and %d copies are to spare", n, q.Spare())
	q.audit()
	q.flush()
	q.want(q.repairs == 0 && q.TakesRepair(peerAddr(1)), "what was sent is gone")

	long := q.log.Detached(7, 9, make([]byte, 3*bytesEach), 0)
	q.config.Room = 1 << 16
	for n = 0; q.TakesRepair(peerAddr(n)); n++ {
		q.EmitData(peerAddr(n), Copy{Entry: long, Class: Repair, Flags: wire.FlagPull}, NoAnswer)
	}
	q.want(q.used[Repair] < bytesEach*64+bytesEach*4, "%d repairs of long messages take %d bytes of memory", n, q.used[Repair])
	q.audit()
}
