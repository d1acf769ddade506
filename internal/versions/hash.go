package versions

import "math/bits"

// The hash of what was seen of an origin is the sum of the counters seen times one factor, and of
// their squares times another. Both follow from the ID. The hash of a table is the sum over
// its origins: so it is the same however a node came to have seen something.

// hash adds the counters lo to hi to the hash of the Pool, or takes them from it: sign is 1 or
// -1. What has no owner has no part in it.
func (w *Window) hash(lo, hi uint64, sign int64, p *Pool) {
	if w.owner == nil || hi < lo {
		return
	}
	a := mix(w.owner.ID)
	if lo == hi {
		p.hash += uint64(sign) * (a*lo + mix(a)*lo*lo)
		return
	}
	sum := hi*(hi+1)/2 - (lo-1)*lo/2
	p.hash += uint64(sign) * (a*sum + mix(a)*(squaresTo(hi)-squaresTo(lo-1)))
}

// hashSeen is hash of those of the counters, which lie in the window, that have been seen.
func (w *Window) hashSeen(lo, hi uint64, sign int64, p *Pool) {
	if w.owner == nil {
		return
	}
	var sum, squares uint64
	for lo <= hi {
		word, mask, next := w.part(lo, hi)
		for set := *word & mask; set != 0; set &= set - 1 {
			c := lo - lo%wordBits + uint64(bits.TrailingZeros64(set))
			sum, squares = sum+c, squares+c*c
		}
		lo = next
	}
	a := mix(w.owner.ID)
	p.hash += uint64(sign) * (a*sum + mix(a)*squares)
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

// mix spreads the bits of an id (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
// Generators", OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
