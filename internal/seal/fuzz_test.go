package seal

import (
	"bytes"
	"testing"
)

// FuzzOpen gives a keyring what comes from anywhere, and what was sealed but changed
// on its way. A datagram opens only if each of its bytes is one that was sealed,
// and is left alone if it does not.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(nil), []byte("hello"), []byte("demo"), uint16(0), uint16(0), []byte(nil))
	f.Add(make([]byte, Overhead), []byte("hello"), []byte("demo"), uint16(3), uint16(1), []byte{1})
	f.Add(text(100), []byte(nil), []byte(nil), uint16(20), uint16(2), []byte("\x00\x00"))
	f.Add(text(12), text(400), text(16), uint16(400), uint16(40), text(3))

	f.Fuzz(func(t *testing.T, anything, plain, ad []byte, at, cut uint16, put []byte) {
		alice := ringDrawing(t, func() uint64 { return 0x0102030405060708 }, a)
		genuine := sealed(alice, plain, ad)

		changed := bytes.Clone(genuine)
		start := int(at) % (len(genuine) + 1)
		end := min(start+int(cut), len(genuine))
		changed = append(append(changed[:start], put...), genuine[end:]...)

		turned := bytes.Clone(genuine)
		for i, x := range put {
			turned[(start+i)%len(turned)] ^= x
		}

		for _, datagram := range [][]byte{anything, changed, turned, genuine} {
			// Each ring opens with its second key, and with no other.
			for _, r := range []*Keyring{ringDrawing(t, alice.random, b, a), ringDrawing(t, alice.random, none, a, b)} {
				arrived := bytes.Clone(datagram)
				got, ok := r.Open(arrived, ad)
				switch {
				case ok != bytes.Equal(datagram, genuine):
					t.Fatalf("that\n\t%x opens should be %v, but is %v; sealed was\n\t%x", datagram, !ok, ok, genuine)
				case ok && !bytes.Equal(got, plain):
					t.Fatalf("%x was sealed, but opens as %x", plain, got)
				case !ok && (got != nil || !bytes.Equal(arrived, datagram)):
					t.Fatalf("%x did not open, but became %x and says %x", datagram, arrived, got)
				}
			}
		}
		if len(put) > 0 {
			if got, ok := ringDrawing(t, alice.random, a).Open(genuine, append(bytes.Clone(ad), put...)); ok {
				t.Fatalf("with %x added to its additional data a datagram opens as %x", put, got)
			}
		}
	})
}
