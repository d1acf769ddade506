package view

import "math/rand/v2"

// Sample appends to dst up to n distinct random members for which ok holds. It looks at
// members in random order until it has enough.
func (v *View) Sample(dst []*Member, rng *rand.Rand, n int, ok func(*Member) bool) []*Member {
	size := len(v.ring)
	if size == 0 || n <= 0 {
		return dst
	}
	// A step coprime to the size visits every index once, in an order that is random
	// enough for gossip and needs no memory.
	start, step := rng.IntN(size), 1
	if size > 2 {
		for step = 1 + rng.IntN(size-1); gcd(step, size) != 1; {
			step = 1 + rng.IntN(size-1)
		}
	}
	for range size {
		if m := v.ring[start]; ok == nil || ok(m) {
			dst = append(dst, m)
			if n--; n == 0 {
				break
			}
		}
		start = (start + step) % size
	}
	return dst
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Nearest appends up to n members nearest on the ring to id, except the one with that id,
// half of them on each side if there are enough.
func (v *View) Nearest(dst []*Member, id uint64, n int) []*Member {
	size := len(v.ring)
	at := v.Search(id)
	up, down := at, at-1
	if at < size && v.ring[at].ID == id {
		up, size = at+1, size-1
	}
	for i := range min(n, size) {
		j := up
		if i%2 == 0 {
			up++
		} else {
			j = down
			down--
		}
		dst = append(dst, v.ring[(j%len(v.ring)+len(v.ring))%len(v.ring)])
	}
	return dst
}
