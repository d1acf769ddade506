// Package seal encrypts and authenticates datagrams with AES-256-GCM and a keyring, so
// that keys can be introduced and replaced while a cluster runs.
//
//	0       12
//	+-------+---------------+-----+
//	| nonce | cipher text   | tag |
//	| 12    | as plain text | 16  |
//	+-------+---------------+-----+
//
// It keeps no record of what was opened: a replayed datagram opens again, where the
// additional data says that it may.
//
// # Keys
//
// The first key of a keyring seals, all of them open. An empty key stands for clear text: in
// first place, datagrams are sent in clear; in any place, clear ones are accepted.
// gossip.GossipService.SetKeys tells how keys are introduced and replaced.
//
// # Nonces
//
// A nonce used twice with one key reveals how the two datagrams differ, and how to forge
// others. Nonces follow the deterministic construction of NIST SP 800-38D, section 8.2.1:
//
//	0                8            12
//	+----------------+------------+
//	| fixed field    | counter    |
//	| 8              | 4          |
//	+----------------+------------+
//
// New draws the fixed field at random. The counter starts at 0 and goes up by 1 with each
// datagram; when all its values are used another fixed field is drawn, and so it is by Renew.
// So a nonce repeats only if two of the fixed fields drawn for a key, by all nodes in all their
// lives, are equal. Let F be the number of these fields: one for each New with that key in first
// place and each Renew, and one for each 2^32 datagrams of a keyring. The chance is at most
// F*(F-1)/2^65, and so less than the 2^-32 that section 8 of the standard allows as long as F is
// at most 92,681. Replace a key before it has seen that many starts.
//
// This requires that fields are drawn independently. If a running process is copied, for
// example by resuming a virtual machine twice, the copies use the same nonces until each has
// a keyring of its own, with randomness of its own.
//
// The fixed field tells the lives of nodes apart, so an answer can be bound to it.
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
	// NonceSize is how many bytes to leave free in front of the plain text.
	NonceSize = 12
	// Overhead is how many bytes longer a sealed datagram is than its plain text: a
	// nonce in front, a tag behind.
	Overhead = NonceSize + 16
	// MaxKeys is how long a keyring may be, including clear text. A datagram that no key
	// opens costs an attempt with each.
	MaxKeys = 8
)

// Keyring seals and opens. It is for one goroutine at a time and must not be copied: the copy
// would use the same nonces.
type Keyring struct {
	keys  []cipher.AEAD // without clear text
	last  int           // the index of the key that opened last
	seals bool          // keys[0] seals; otherwise datagrams are sent in clear
	clear bool          // clear text is accepted

	random  func() uint64
	fixed   uint64 // of the next nonce
	counter uint32 // of the next nonce

	// room holds the plain text until it is known whether the key was the right one,
	// for a wrong one leaves zeros there. Nobody else sees it.
	room []byte
}

// New makes a keyring. Each key has KeySize bytes, or none to stand for clear text; without
// keys the ring is clear text alone. New does not keep the keys. It keeps random, which must
// return uniform bits from a cryptographic generator whose seed is unique to this life of
// this node: they are sent in clear.
//
// It is an error to give a key of another length, the same key or clear text twice, or more
// than MaxKeys. The error names indices, counted from 0, and lengths, never a byte of a key.
// It is also an error to give a key in a process that runs with GODEBUG=fips140=only, which
// does not let callers choose nonces.
func New(keys [][]byte, random func() uint64) (*Keyring, error) {
	if len(keys) > MaxKeys {
		return nil, fmt.Errorf("%d keys are more than %d", len(keys), MaxKeys)
	}
	if len(keys) == 0 {
		keys = [][]byte{nil}
	}
	r := &Keyring{seals: len(keys[0]) > 0, random: random}
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
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		r.keys = append(r.keys, aead)
	}
	r.Renew()
	return r, nil
}

// Renew draws another fixed field for the nonces, if datagrams are to be sealed.
func (r *Keyring) Renew() {
	if r.seals {
		r.fixed, r.counter = r.random(), 0
	}
}

// Field returns the fixed field of the next nonce, 0 if datagrams are sent in clear.
func (r *Keyring) Field() uint64 { return r.fixed }

// FieldOf returns the fixed field of the nonce of b, which has at least NonceSize bytes and
// begins with it.
func FieldOf(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// Seals reports whether datagrams are to be sealed. If not, they are sent in clear.
func (r *Keyring) Seals() bool { return r.seals }

// TakesClear reports whether datagrams in clear are to be accepted.
func (r *Keyring) TakesClear() bool { return r.clear }

// Seal seals b[from+NonceSize:] and returns b, longer by the tag. The NonceSize bytes before
// it, which the caller leaves free, become the nonce; b[:from] does not change. ad is
// authenticated too but not part of the result: it may be b[:from], but must not overlap
// what is sealed.
//
// It works in place if b has room for 16 more bytes; otherwise b must not be used any more.
// Seal panics if Seals is false, or if b ends before from+NonceSize.
func (r *Keyring) Seal(b []byte, from int, ad []byte) []byte {
	if !r.seals {
		panic("seal: a keyring that sends in clear was told to seal")
	}
	start := from + NonceSize
	plain, nonce := b[start:], b[from:start]
	binary.BigEndian.PutUint64(nonce, r.fixed)
	binary.BigEndian.PutUint32(nonce[8:], r.counter)
	if r.counter++; r.counter == 0 {
		r.Renew()
	}
	return r.keys[0].Seal(b[:start], nonce, plain, ad)
}

// Open takes b, which is a nonce, cipher text and a tag, and returns the plain text, which
// lies in b from NonceSize on. ok is false, and b unchanged, if no key opens b, if ad is not
// what b was sealed with, or if b has less than Overhead bytes.
//
// The key that opened last is tried first, then those after it and those before it. So one
// attempt suffices unless two keys are in use at once, and a forged datagram costs one with
// each key. The ring keeps memory of its own, at most about twice the longest b.
func (r *Keyring) Open(b, ad []byte) (plain []byte, ok bool) {
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
