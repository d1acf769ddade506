// Package token makes the tokens with which a source proves that it receives what is sent
// to its address. It keeps no state for the sources.
package token

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"time"
)

// Epoch is how long the token of a source stays the same. A token is valid in the epoch it
// was made in and in the next.
const Epoch = 10 * time.Second

// Maker makes and checks the tokens of one node. It accepts only its own.
type Maker struct {
	secret [32]byte
}

// NewMaker returns a Maker whose secret nobody else must know.
func NewMaker(secret [32]byte) *Maker { return &Maker{secret} }

// Make returns the token, never 0, of the source at addr; now is the time since a fixed
// moment.
func (k *Maker) Make(addr netip.AddrPort, now time.Duration) uint64 {
	return k.at(addr, uint64(now/Epoch))
}

// Valid reports whether t is a token that was made for addr recently. 0 never is.
func (k *Maker) Valid(t uint64, addr netip.AddrPort, now time.Duration) bool {
	epoch := uint64(now / Epoch)
	return equal(t, k.at(addr, epoch)) || epoch > 0 && equal(t, k.at(addr, epoch-1))
}

// at hashes secret, address, port and epoch, all of fixed length, and keeps the first eight
// bytes, which do not allow a length extension.
func (k *Maker) at(addr netip.AddrPort, epoch uint64) uint64 {
	var b [32 + 16 + 2 + 8]byte
	ip := addr.Addr().As16()
	copy(b[:], k.secret[:])
	copy(b[32:], ip[:])
	binary.BigEndian.PutUint16(b[48:], addr.Port())
	binary.BigEndian.PutUint64(b[50:], epoch)
	sum := sha256.Sum256(b[:])
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}

// equal compares in constant time.
func equal(a, b uint64) bool {
	return subtle.ConstantTimeEq(int32(a), int32(b))&subtle.ConstantTimeEq(int32(a>>32), int32(b>>32)) == 1
}
