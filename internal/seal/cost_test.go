package seal

import (
	"bytes"
	"fmt"
	"testing"
)

func TestNothingIsAllocated(t *testing.T) {
	ad := text(30)
	foreign := bytes.Repeat([]byte{0xd4}, KeySize)
	for _, size := range []int{0, 64, 1400} {
		sealing := ring(t, a)
		buf := make([]byte, 8+size+Overhead)
		if n := testing.AllocsPerRun(200, func() { buf = sealing.Seal(buf[:8+NonceSize+size], 8, ad) }); n != 0 {
			t.Errorf("sealing %d bytes in a buffer with room allocates %v times", size, n)
		}
		for _, story := range []struct {
			what   string
			ring   *Keyring
			sealed [2][]byte // by these two, by turns
			opens  bool
		}{
			{"opening with the only key", ring(t, a), [2][]byte{a, a}, true},
			{"opening with the second key", ring(t, b, a), [2][]byte{a, a}, true},
			{"opening with two keys by turns", ring(t, b, none, a), [2][]byte{a, b}, true},
			{"trying three keys in vain", ring(t, a, b, c), [2][]byte{foreign, foreign}, false},
			{"trying no key", ring(t), [2][]byte{a, b}, false},
		} {
			first, second := sealed(ring(t, story.sealed[0]), text(size), ad), sealed(ring(t, story.sealed[1]), text(size), ad)
			arrived, wrong := make([]byte, size+Overhead), 0
			attempt := func(datagram []byte) {
				copy(arrived, datagram)
				if _, ok := story.ring.Open(arrived, ad); ok != story.opens {
					wrong++
				}
			}
			if n := testing.AllocsPerRun(200, func() {
				attempt(first)
				attempt(second)
			}); n != 0 {
				t.Errorf("%s allocates %v times for %d bytes", story.what, n, size)
			}
			if wrong > 0 {
				t.Errorf("that %s succeeds should be %v for %d bytes, but %d times it was not", story.what, story.opens, size, wrong)
			}
		}
	}
}

// Whoever forges can choose lengths. Each byte more must not cost an allocation,
// nor the memory grow out of proportion.
func TestForgedLengthsCostLittleMemory(t *testing.T) {
	const longest = 65507 // what UDP over IPv4 can carry
	r, grown, had := ring(t, a, b), 0, 0
	forged := make([]byte, longest)
	for n := 0; n <= longest; n += 13 {
		r.Open(forged[:n], nil)
		if now := cap(r.room); now != had {
			grown, had = grown+1, now
		}
	}
	if grown > 50 || had > 2*longest {
		t.Errorf("datagrams of rising length should cost a keyring at most 50 allocations and %d bytes, but cost %d and %d", 2*longest, grown, had)
	}
}

var sizes = []int{64, 512, 1400}

func BenchmarkSeal(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r, ad, buf := ring(b, a), text(16), make([]byte, 8+size+Overhead)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				buf = r.Seal(buf[:8+NonceSize+size], 8, ad)
			}
		})
	}
}

// Opening has to have its datagram back each time, by a copy that is counted.
func BenchmarkOpen(b *testing.B) {
	for _, story := range []struct {
		what string
		keys [][]byte
	}{
		{"genuine", list(c, a)},
		{"forged/one-key", list(c)},
		{"forged/two-keys", list(c, bytes.Repeat([]byte{0xd4}, KeySize))},
	} {
		for _, size := range sizes {
			b.Run(fmt.Sprintf("%s/%d", story.what, size), func(b *testing.B) {
				r, ad := ring(b, story.keys...), text(16)
				datagram := sealed(ring(b, a), text(size), ad)
				arrived := make([]byte, len(datagram))
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					copy(arrived, datagram)
					r.Open(arrived, ad)
				}
			})
		}
	}
}
