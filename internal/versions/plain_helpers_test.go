package versions

import (
	"math"
	"math/rand/v2"

	"example.com/gossip/internal/wire"
)

const lastCounter = math.MaxUint32

// plainWindow is a Window as one would explain it: a floor, a set, and a width.
type plainWindow struct {
	floor, highest uint64
	width          uint64 // how far above the floor its memory reaches
	seen           map[uint64]bool
	pool           *plainPool // nil for a window that stays narrow
}

// plainPool is the room for the memory of wide windows.
type plainPool struct{ budget, out uint64 }

func (m *plainWindow) has(c uint64) bool { return c <= m.floor || m.seen[c] }

// bytes returns what a window of that width takes of the pool.
func bytes(width uint64) uint64 {
	if width <= NarrowWidth {
		return 0
	}
	return width / 8
}

// fits tells whether the window reaches that far, or would if it widened.
func (m *plainWindow) fits(distance uint64) bool {
	if distance <= m.width {
		return true
	}
	width := widthFor(distance)
	return m.pool != nil && width <= Width && m.pool.out-bytes(m.width)+bytes(width) <= m.pool.budget
}

// widthFor returns the least width of the narrow one, twice, four times that, …
func widthFor(distance uint64) uint64 {
	width := uint64(NarrowWidth)
	for width < distance {
		width *= 2
	}
	return width
}

func (m *plainWindow) resize(width uint64) {
	if m.pool != nil {
		m.pool.out += bytes(width) - bytes(m.width)
	}
	m.width = width
}

func (m *plainWindow) check(c uint64) Verdict {
	switch {
	case m.has(c):
		return Seen
	case !m.fits(c - m.floor):
		return Ahead
	}
	return New
}

// rise moves the floor over what was seen right above it. A window that is needed for a
// quarter at most narrows.
func (m *plainWindow) rise() {
	for m.seen[m.floor+1] {
		m.floor++
	}
	switch missing := m.highest - m.floor; {
	case missing == 0:
		m.resize(NarrowWidth)
	case m.width > NarrowWidth && missing <= m.width/4:
		m.resize(widthFor(2 * missing))
	}
}

func (m *plainWindow) add(c uint64) Verdict {
	v := m.check(c)
	if v == New {
		if distance := c - m.floor; distance > m.width && distance > 1 {
			m.resize(widthFor(distance))
		}
		m.seen[c] = true
		m.highest = max(m.highest, c)
		if c == m.floor+1 {
			m.rise()
		}
	}
	return v
}

func (m *plainWindow) advance(f uint64) (unseen uint32) {
	if f <= m.floor {
		return 0
	}
	for ; m.floor < f; m.floor++ {
		if !m.seen[m.floor+1] {
			unseen++
		}
	}
	m.highest = max(m.highest, m.floor)
	m.rise()
	return unseen
}

// floorFor returns the lowest floor at which there is room for c, by trying all widths.
func (m *plainWindow) floorFor(c uint64) uint64 {
	if m.check(c) != Ahead {
		return m.floor
	}
	for width := uint64(Width); ; width /= 2 {
		if m.fits(width) {
			return c - width
		}
	}
}

func (m *plainWindow) reset(f uint64) {
	m.floor, m.highest, m.seen = f, f, map[uint64]bool{}
	m.resize(NarrowWidth)
}

// runsOf returns the counters above the floor for which in holds and there is room, as runs.
func (m *plainWindow) runsOf(in func(c uint64) bool, limit int) (runs []wire.Run) {
	for c := m.floor + 1; c <= lastCounter && m.fits(c-m.floor); c++ {
		switch n := len(runs); {
		case !in(c):
		case n > 0 && uint64(runs[n-1].Last)+1 == c:
			runs[n-1].Last = uint32(c)
		case n == limit:
			return runs
		default:
			runs = append(runs, wire.Run{First: uint32(c), Last: uint32(c)})
		}
	}
	return runs
}

// randomTheirs makes up what another node, whose floor is near, says it has seen.
func randomTheirs(r *rand.Rand, floor uint64) (theirFloor uint32, runs []wire.Run) {
	far := []uint64{1, 1, 20}[r.IntN(3)]
	c := uint64(max(0, int64(floor)+r.Int64N(600*int64(far))-500))
	theirFloor = uint32(min(c, lastCounter))
	for range r.IntN(12) {
		first := c + 1 + r.Uint64N(200*far)
		c = first + r.Uint64N(100*far)
		if c > lastCounter {
			break
		}
		runs = append(runs, wire.Run{First: uint32(first), Last: uint32(c)})
	}
	return theirFloor, runs
}
