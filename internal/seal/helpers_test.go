package seal

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// The keys of the stories, and what stands for clear text.
var (
	none []byte
	a    = bytes.Repeat([]byte{0xa1}, KeySize)
	b    = bytes.Repeat([]byte{0xb2}, KeySize)
	c    = bytes.Repeat([]byte{0xc3}, KeySize)
)

func list(keys ...[]byte) [][]byte { return keys }

// ring makes a keyring that no other test has a nonce in common with.
func ring(t testing.TB, keys ...[]byte) *Keyring {
	t.Helper()
	return ringDrawing(t, rand.Uint64, keys...)
}

func ringDrawing(t testing.TB, random func() uint64, keys ...[]byte) *Keyring {
	t.Helper()
	r, err := New(keys, random)
	if err != nil {
		t.Fatalf("a keyring of %s should be made, but: %v", names(keys), err)
	}
	return r
}

// script returns its numbers one after the other, and then fails the test.
func script(t testing.TB, numbers ...uint64) func() uint64 {
	return func() (n uint64) {
		t.Helper()
		if len(numbers) == 0 {
			t.Fatal("one random number more was drawn than there should have been")
		}
		n, numbers = numbers[0], numbers[1:]
		return n
	}
}

// sealed seals a copy of plain, with nothing in front of it.
func sealed(r *Keyring, plain, ad []byte) []byte {
	return r.Seal(append(make([]byte, NonceSize), plain...), 0, ad)
}

// mustOpen opens a copy of datagram, and expects plain.
func mustOpen(t *testing.T, r *Keyring, datagram, ad, plain []byte, story string) {
	t.Helper()
	got, ok := r.Open(bytes.Clone(datagram), ad)
	if !ok || !bytes.Equal(got, plain) {
		t.Fatalf("%s should open and say %x, but says %x (%v)", story, plain, got, ok)
	}
}

// mustNotOpen expects that datagram stays shut, and stays what it is.
func mustNotOpen(t *testing.T, r *Keyring, datagram, ad []byte, story string) {
	t.Helper()
	tried := bytes.Clone(datagram)
	if got, ok := r.Open(tried, ad); ok || got != nil {
		t.Fatalf("%s should not open, but says %x (%v)", story, got, ok)
	}
	if !bytes.Equal(tried, datagram) {
		t.Fatalf("%s did not open, and should be left as it was, but %x became %x", story, datagram, tried)
	}
}

// flipped returns a copy of what has one bit turned.
func flipped(what []byte, bit int) []byte {
	other := bytes.Clone(what)
	other[bit/8] ^= 1 << (bit % 8)
	return other
}

// names writes a list of keys as the stories call them.
func names(keys [][]byte) string {
	var s []string
	for _, k := range keys {
		switch {
		case len(k) == 0:
			s = append(s, "clear")
		case bytes.Equal(k, a):
			s = append(s, "a")
		case bytes.Equal(k, b):
			s = append(s, "b")
		case bytes.Equal(k, c):
			s = append(s, "c")
		default:
			s = append(s, fmt.Sprintf("a key of %d bytes", len(k)))
		}
	}
	return "{" + strings.Join(s, ", ") + "}"
}

func text(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

// unhex reads hex digits; spaces are for the eye.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("the test has a typing error: %q is not hex: %v", s, err)
	}
	return p
}
