package seal

import (
	"bytes"
	"fmt"
	"testing"
)

func TestWhatIsSealedOpens(t *testing.T) {
	alice, bob := ring(t, a), ring(t, a)
	for size := range 2001 {
		plain, front, ad := text(size), text(size%5*4), text(size%40)
		from := len(front)
		datagram := append(append(bytes.Clone(front), make([]byte, NonceSize)...), plain...)
		datagram = alice.Seal(datagram, from, ad)
		if len(datagram) != from+size+Overhead || !bytes.Equal(datagram[:from], front) {
			t.Fatalf("%d bytes should be sealed to %d behind %x, but are to %d behind %x", size, size+Overhead, front, len(datagram)-from, datagram[:from])
		}
		if size >= 16 && bytes.Contains(datagram[from:], plain) {
			t.Fatalf("%d bytes were sealed, but can be read in the datagram", size)
		}
		got, ok := bob.Open(datagram[from:], ad)
		if !ok || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes should open as %x, but open as %x (%v)", size, plain, got, ok)
		}
		if size > 0 && &got[0] != &datagram[from+NonceSize] {
			t.Fatalf("what was opened of %d bytes should lie in the datagram, behind the nonce", size)
		}
	}
}

// The vector is test case 14 of the paper that proposes GCM, by D. McGrew and J.
// Viega. It pins which bytes are where, and that they are what others make too.
func TestSealedBytesAreThoseOfTheStandard(t *testing.T) {
	zeros := make([]byte, KeySize)
	r := ringDrawing(t, script(t, 0), zeros)
	got := sealed(r, zeros[:16], nil)
	want := unhex(t, "000000000000000000000000 cea7403d4d606b6e074ec5d3baf39d18 d0d1c8a799996bf0265b98b5d48ab919")
	if !bytes.Equal(got, want) {
		t.Fatalf("sixteen zeros, under a key and a nonce of zeros, should be sealed as\n\t%x, but are as\n\t%x", want, got)
	}
	mustOpen(t, ring(t, zeros), want, nil, zeros[:16], "the datagram of the standard")
}

func TestSealingNeedsNoRoomButItsOwn(t *testing.T) {
	r, plain, head := ring(t, a), text(100), []byte("head")
	build := func(room int) []byte {
		buf := append(make([]byte, 0, len(head)+len(plain)+room), head...)
		buf = append(buf, make([]byte, NonceSize)...)
		return append(buf, plain...)
	}

	exact := build(Overhead)
	if got := r.Seal(exact, len(head), head); &got[0] != &exact[0] || cap(got) != len(got) {
		t.Errorf("a buffer with room for the tag should be sealed in place, but one of %d bytes was used", cap(got))
	}
	larger := build(Overhead + 3)
	behind := larger[len(larger)+16 : cap(larger)]
	copy(behind, "end")
	if r.Seal(larger, len(head), head); string(behind) != "end" {
		t.Errorf("what lies behind the tag should be left alone, but is %q", behind)
	}
	short := build(Overhead - 1)
	got := r.Seal(short, len(head), head)
	if !bytes.HasPrefix(got, head) {
		t.Fatalf("sealing in a buffer that is too short should keep what is in front, but it is %q", got[:len(head)])
	}
	mustOpen(t, r, got[len(head):], head, plain, "what was sealed in a buffer too short for the tag")
}

func TestAnyBitTurnedKeepsItShut(t *testing.T) {
	for _, keys := range [][][]byte{{a}, {b, a}} {
		r := ring(t, keys...)
		for _, size := range []int{0, 1, 16, 40, 200} {
			ad := text(21)
			datagram := sealed(ring(t, a), text(size), ad)
			for bit := range 8 * len(datagram) {
				part := "the cipher text"
				switch {
				case bit/8 < NonceSize:
					part = "the nonce"
				case bit/8 >= NonceSize+size:
					part = "the tag"
				}
				mustNotOpen(t, r, flipped(datagram, bit), ad, fmt.Sprintf("a datagram of %d bytes with bit %d turned, in %s,", size, bit, part))
			}
			for bit := range 8 * len(ad) {
				mustNotOpen(t, r, datagram, flipped(ad, bit), fmt.Sprintf("a datagram of %d bytes with bit %d of its additional data turned", size, bit))
			}
			mustOpen(t, r, datagram, ad, text(size), "the datagram itself")
		}
	}
}

func TestAnyCutKeepsItShut(t *testing.T) {
	r, ad := ring(t, a), text(5)
	for _, size := range []int{0, 1, 16, 100} {
		datagram := sealed(r, text(size), ad)
		for n := range len(datagram) {
			mustNotOpen(t, r, datagram[:n], ad, fmt.Sprintf("the first %d bytes of %d", n, len(datagram)))
			mustNotOpen(t, r, datagram[len(datagram)-n:], ad, fmt.Sprintf("the last %d bytes of %d", n, len(datagram)))
		}
		mustNotOpen(t, r, append(bytes.Clone(datagram), 0), ad, "a datagram with a byte too many behind")
		mustNotOpen(t, r, append([]byte{0}, datagram...), ad, "a datagram with a byte too many in front")
	}
	mustNotOpen(t, r, nil, nil, "nothing at all")
	mustNotOpen(t, r, make([]byte, Overhead), nil, "zeros")
}

func TestOtherAdditionalDataKeepsItShut(t *testing.T) {
	r := ring(t, a)
	for _, ad := range []string{"", "\x00", "demo", "demo\x00", "a cluster of another name"} {
		datagram := sealed(r, text(50), []byte(ad))
		for _, other := range []string{"", "\x00", "demo", "demo\x00", "a cluster of another name"} {
			story := fmt.Sprintf("what was sealed with %q, opened with %q,", ad, other)
			if ad == other {
				mustOpen(t, r, datagram, []byte(other), text(50), story)
			} else {
				mustNotOpen(t, r, datagram, []byte(other), story)
			}
		}
	}
}

// A ring that has seen long datagrams and failed attempts has old bytes in its
// memory, none of which may come out.
func TestARingShowsNothingOfEarlierDatagrams(t *testing.T) {
	alice, bob := ring(t, b), ring(t, a, b)
	for i, size := range []int{1000, 10, 0, 999, 1, 2000, 28} {
		datagram := sealed(alice, text(size), nil)
		mustNotOpen(t, bob, flipped(datagram, 8*len(datagram)-1), nil, "a forged datagram")
		mustOpen(t, bob, datagram, nil, text(size), fmt.Sprintf("datagram %d, of %d bytes,", i, size))
	}
}

// Sealed datagrams within sealed ones are of no use, but who has a key can send
// them, and a reader may come to open what it has just opened.
func TestSealedWithinSealedOpens(t *testing.T) {
	alice, bob := ring(t, a), ring(t, b, a)
	inner := sealed(alice, []byte("hello"), []byte("inner"))
	got, ok := bob.Open(sealed(alice, inner, nil), nil)
	if !ok || !bytes.Equal(got, inner) {
		t.Fatalf("the outer datagram should say %x, but says %x (%v)", inner, got, ok)
	}
	if got, ok = bob.Open(got, []byte("inner")); !ok || string(got) != "hello" {
		t.Fatalf("the inner datagram should say hello, but says %q (%v)", got, ok)
	}
}

func TestSealingWhatCannotBeSealedPanics(t *testing.T) {
	for _, story := range []struct {
		what       string
		keys       [][]byte
		size, from int
	}{
		{"without a key", list(), 100, 0},
		{"with clear text as the first key", list(none, a), 100, 0},
		{"without room for the nonce", list(a), NonceSize - 1, 0},
		{"without room for the nonce behind what is in front", list(a), 100, 100 - NonceSize + 1},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("sealing %s should panic, for the datagram would go out as it is", story.what)
				}
			}()
			r := ring(t, story.keys...)
			r.Seal(make([]byte, story.size, 200), story.from, nil)
		}()
	}
}
