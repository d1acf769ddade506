// Package seal encrypts and authenticates datagrams with AES-256-GCM and a ring
// of keys, so that keys can be brought in and replaced while a cluster runs.
//
//	0       12
//	+-------+---------------+-----+
//	| nonce | cipher text   | tag |
//	| 12    | as plain text | 16  |
//	+-------+---------------+-----+
//
// It keeps no record of what was opened: who sends a sealed datagram again sends
// a good one.
//
// # Keys
//
// The first key of a ring seals, all of them open. An empty key stands for clear
// text: as the first it leaves in clear what is sent, anywhere it accepts what
// comes in clear. So a key is brought in, and replaced, in the same three steps:
//
//	roll-out    rotation
//	{nil}       {a}         as it was
//	{nil, k}    {a, b}      all learn to open
//	{k, nil}    {b, a}      all seal with the new one
//	{k}         {b}         all forget the old one
//
// Rings of one line or of two lines in succession understand each other, others
// need not: a step is to be done everywhere before the next one begins.
//
// # Nonces
//
// A nonce that comes twice with one key gives away by what both datagrams differ,
// and how to forge others. Nonces are laid out after the deterministic construction
// of NIST SP 800-38D, section 8.2.1:
//
//	0                8            12
//	+----------------+------------+
//	| fixed field    | counter    |
//	| 8              | 4          |
//	+----------------+------------+
//
// New draws the fixed field at random. The counter goes up from 0 by 1 for each
// datagram; when all its values are used another fixed field is drawn. So a nonce
// repeats only if two of the fixed fields drawn for a key are equal, among those
// of all nodes and all their lives. Let F be their number: one for each New with
// that key in front, and one for each 2^32 datagrams of one ring. The chance is at
// most F*(F-1)/2^65, which is less than F^2/2^65, and less than the 2^-32 that
// section 8 of the standard allows as long as F is at most 92,681. Replace a key
// before it has seen that many starts.
//
// Fields that are not drawn independently void all this: so it is with a process
// that is copied while it runs, say by a virtual machine that is resumed twice.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"slices"
)

const (
	// KeySize is the length of a key in bytes.
	KeySize = 32
	// NonceSize is how many bytes are to be left free in front of plain text.
	NonceSize = 12
	// Overhead is by how many bytes a sealed datagram is longer than its plain
	// text: a nonce in front, a tag behind.
	Overhead = NonceSize + 16
	// MaxKeys is how long a ring may be, clear text included. A datagram that no
	// key opens costs an attempt with each.
	MaxKeys = 8
)

// Ring seals and opens. It is for one goroutine at a time, and not to be copied:
// the copy would use the same nonces.
type Ring struct {
	keys  []cipher.AEAD // without clear text
	last  int           // which of them opened last
	seals bool          // keys[0] seals; else what is sent is clear
	clear bool          // what is clear is accepted

	random  func() uint64
	fixed   uint64 // of the next nonce, as is
	counter uint32

	// room takes what a key makes of a datagram before it is known whether it is
	// the right one: the wrong one leaves zeros there. It is seen by nobody else.
	room []byte
}

// New makes a ring. Each key has KeySize bytes, or none to stand for clear text;
// no keys at all are clear text alone. New keeps neither keys nor the bytes in
// them. It keeps random, which must return uniform bits from a cryptographic
// generator whose seed no other node and no other life has: they are sent in clear.
//
// It is an error to give a key of another length, one key or clear text twice, or
// more than MaxKeys. The error names indices, counted from 0, and lengths, never a
// byte of a key. Nor is there a ring with keys in a process that runs in the mode
// GODEBUG=fips140=only, where nobody may choose nonces.
func New(keys [][]byte, random func() uint64) (*Ring, error) {
	if len(keys) > MaxKeys {
		return nil, fmt.Errorf("%d keys are more than %d", len(keys), MaxKeys)
	}
	if len(keys) == 0 {
		keys = [][]byte{nil}
	}
	r := &Ring{seals: len(keys[0]) > 0, random: random}
	for i, key := range keys {
		for j := range i {
			if bytes.Equal(keys[j], key) {
				return nil, fmt.Errorf("keys[%d] and keys[%d] are the same", j, i)
			}
		}
		if len(key) == 0 {
			r.clear = true
			continue
		}
		if len(key) != KeySize {
			return nil, fmt.Errorf("keys[%d] has %d bytes, not %d, or none for clear text", i, len(key), KeySize)
		}
		aead, err := expand(key)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		r.keys = append(r.keys, aead)
	}
	if r.seals {
		r.fixed = random()
	}
	return r, nil
}

// expand makes the cipher of a key, and does not keep the key.
func expand(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Seals reports whether what is sent is to be sealed. If not, it goes out in clear.
func (r *Ring) Seals() bool { return r.seals }

// TakesClear reports whether what comes in clear is to be accepted.
func (r *Ring) TakesClear() bool { return r.clear }

// Seal seals b[from+NonceSize:] and returns b, longer by the tag. The NonceSize
// bytes before it, which the caller leaves free, become the nonce; b[:from] stays
// what it is. ad is authenticated along with it but not sent: it may be b[:from]
// and must not overlap what is sealed.
//
//	0          from    from+12
//	+----------+-------+---------------+
//	| anything | free  | plain text    |             b
//	+----------+-------+---------------+
//	+----------+-------+---------------+-----+
//	| anything | nonce | cipher text   | tag |       the result
//	+----------+-------+---------------+-----+
//
// It is done in place if b has room for 16 bytes more; else b is to be thrown away.
// Seal panics if Seals is false, or if b ends before from+NonceSize.
func (r *Ring) Seal(b []byte, from int, ad []byte) []byte {
	if !r.seals {
		panic("seal: a ring that sends in clear was told to seal")
	}
	start := from + NonceSize
	plain, nonce := b[start:], b[from:start]
	binary.BigEndian.PutUint64(nonce, r.fixed)
	binary.BigEndian.PutUint32(nonce[8:], r.counter)
	if r.counter++; r.counter == 0 {
		r.fixed = r.random()
	}
	return r.keys[0].Seal(b[:start], nonce, plain, ad)
}

// Open takes b, a nonce, cipher text and a tag, and returns the plain text, which
// lies in b, from NonceSize on. ok is false, and b as it was, if no key opens b, if
// ad is not what b was sealed with, or if b has less than Overhead bytes.
//
// The key that opened last is tried first, then those behind it and those before
// it. So one attempt will do but where two keys are in use at once, and a datagram
// that nobody has sealed costs one with each. The ring keeps memory of its own, at
// most about twice the longest b.
func (r *Ring) Open(b, ad []byte) (plain []byte, ok bool) {
	if len(b) < Overhead {
		return nil, false
	}
	nonce, sealed := b[:NonceSize], b[NonceSize:]
	r.room = slices.Grow(r.room[:0], len(b)-Overhead)
	for i := range r.keys {
		k := (r.last + i) % len(r.keys)
		if opened, err := r.keys[k].Open(r.room, nonce, sealed, ad); err == nil {
			r.last = k
			return sealed[:copy(sealed, opened)], true
		}
	}
	return nil, false
}
