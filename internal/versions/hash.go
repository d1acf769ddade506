package versions

import "time"

// Hash returns a number that is the same for windows that have seen the same, and hardly ever
// for others: the sum, and the sum of the squares, of the counters seen, each times a factor.
func (w *Window) Hash(a, b uint64) uint64 {
	f := uint64(w.floor)
	sum, squares := f*(f+1)/2, squaresTo(f)
	for c := w.find(f+1, uint64(w.highest), true); c <= uint64(w.highest); c = w.find(c+1, uint64(w.highest), true) {
		sum, squares = sum+c, squares+c*c
	}
	return a*sum + b*squares
}

// squaresTo returns the sum of the squares of the numbers up to f, modulo 2^64.
func squaresTo(f uint64) uint64 {
	x, y, z := f, f+1, 2*f+1 // x*y*z is divisible by 6
	if x%2 == 0 {
		x /= 2
	} else {
		y /= 2
	}
	switch {
	case x%3 == 0:
		x /= 3
	case y%3 == 0:
		y /= 3
	default:
		z /= 3
	}
	return x * y * z
}

// Hash returns a number that is the same for tables whose origins have been seen as far, and
// hardly ever for others. It is worked out at most once in hashPause, and may be that old.
func (t *Table) Hash(now time.Duration) uint64 {
	if t.hashOf != t.pool.changes && (now-t.hashAt >= hashPause || t.hashAt == 0) {
		t.hash, t.hashOf, t.hashAt = t.sum(), t.pool.changes, now
	}
	return t.hash
}

const hashPause = 100 * time.Millisecond

func (t *Table) sum() (h uint64) {
	for _, o := range t.sorted {
		if o.Seen.Highest() > 0 {
			a := mix(o.ID)
			h += o.Seen.Hash(a, mix(a))
		}
	}
	return h
}

// mix spreads the bits of an id (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
// Generators", OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
