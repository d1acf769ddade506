package seal

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

func TestNoncesCountUpBehindAFieldThatIsDrawn(t *testing.T) {
	r := ringDrawing(t, script(t, 0x0102030405060708), a)
	for _, want := range []string{
		"0102030405060708 00000000", "0102030405060708 00000001", "0102030405060708 00000002",
	} {
		if got := sealed(r, text(30), nil)[:NonceSize]; !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("the next nonce should be %s, but is %x", want, got)
		}
	}
	r.counter = 0x0a0b0c0d
	if got, want := sealed(r, nil, nil)[:NonceSize], "0102030405060708 0a0b0c0d"; !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("the nonce should be %s, but is %x", want, got)
	}
}

func TestAnotherFieldIsDrawnWhenTheCounterIsUsedUp(t *testing.T) {
	r := ringDrawing(t, script(t, 0xaaaaaaaaaaaaaaaa, 0xbbbbbbbbbbbbbbbb, 0xcccccccccccccccc), a)
	for range 2 {
		r.counter = math.MaxUint32 - 1
		old := r.fixed
		next := old + 0x1111111111111111
		for i, want := range []struct {
			field   uint64
			counter uint32
		}{
			{old, math.MaxUint32 - 1}, {old, math.MaxUint32}, {next, 0}, {next, 1},
		} {
			datagram := sealed(r, text(30), nil)
			if field, counter := be64(datagram), uint32(be64(datagram[4:])); field != want.field || counter != want.counter {
				t.Fatalf("around the end of the counter, nonce %d should be %x %08x, but is %x %08x", i, want.field, want.counter, field, counter)
			}
			mustOpen(t, ring(t, a), datagram, nil, text(30), "a datagram sealed around the end of the counter")
		}
	}
}

func TestARingThatSendsClearTextDrawsNothing(t *testing.T) {
	ringDrawing(t, script(t))
	ringDrawing(t, script(t), none, a)
	ringDrawing(t, nil, none, a)
}

// Four lives, of one node or of four, share a key, and each comes past the end of
// its counter once. The seed is fixed, so that no two fields are equal by chance.
func TestNoNonceComesTwice(t *testing.T) {
	random := rand.New(rand.NewChaCha8([32]byte{1})).Uint64
	seen := map[[NonceSize]byte]int{}
	for life := range 4 {
		r := ringDrawing(t, random, a)
		for i := range 4000 {
			if i == 2000 {
				r.counter = math.MaxUint32 - 999
			}
			nonce := [NonceSize]byte(sealed(r, nil, nil))
			if before, found := seen[nonce]; found {
				t.Fatalf("datagram %d of life %d has nonce %x, which life %d had", i, life, nonce, before)
			}
			seen[nonce] = life
		}
	}
	fields := map[uint64]bool{}
	for nonce := range seen {
		fields[be64(nonce[:])] = true
	}
	if len(fields) != 8 {
		t.Errorf("four lives, each past the end of its counter once, should use 8 fields, but used %d", len(fields))
	}
}

// The counter moves before anything can go wrong with a datagram.
func TestAFailedSealUsesUpItsNonce(t *testing.T) {
	r := ring(t, a)
	first := func() (nonce [NonceSize]byte) {
		buf := make([]byte, 100, 200) // room for the tag, so that it is done in place
		defer func() {
			if recover() == nil {
				t.Error("additional data that is sealed over should make Seal panic")
			}
			nonce = [NonceSize]byte(buf)
		}()
		r.Seal(buf, 0, buf[50:60])
		return nonce
	}()
	if second := [NonceSize]byte(sealed(r, nil, nil)); second == first {
		t.Errorf("nonce %x was begun to be used, and should not come again", first)
	}
}

func be64(p []byte) (n uint64) {
	for _, x := range p[:8] {
		n = n<<8 | uint64(x)
	}
	return n
}
