package main

import (
	"encoding/binary"
	"errors"
)

// The messages. All but a change are Direct. Numbers are big-endian; within an entry the name
// and the value follow their lengths.
//
//	change   1, entry                       to all: a flag was written
//	ask      2, nonce 8, digest 8, name     for the flags whose names come after this one
//	page     3, nonce 8, index 1, of 1, end 1, entries    of an answer
//	refusal  4, nonce 8                     the answer of a replica that is not synced
//
//	entry    deleted 1, version 8, writer 8, length 1, name, length 2, value
const (
	kindChange  = 1
	kindAsk     = 2
	kindPage    = 3
	kindRefusal = 4

	pageHeader  = 12
	entryHeader = 20 // of an entry with neither name nor value

	// mostPages bounds the pages of one answer.
	mostPages = 16
)

// ask is a question for the flags whose names come after a name, all for "". If the digest is
// that of the store asked, they are the same, and the answer is a page without entries.
type ask struct {
	nonce, digest uint64
	after         string
}

func (a ask) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, kindAsk), a.nonce)
	b = binary.BigEndian.AppendUint64(b, a.digest)
	return append(b, a.after...)
}

// page is one of the datagrams of an answer. The last flag of the last page is the highest of
// the answer; end tells that none is higher.
type page struct {
	nonce     uint64
	index, of int
	end       bool
	entries   []entry
}

func (p page) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, kindPage), p.nonce)
	b = append(b, byte(p.index), byte(p.of), oneIf(p.end))
	for _, e := range p.entries {
		b = e.append(b)
	}
	return b
}

// refusal answers an ask.
type refusal struct{ nonce uint64 }

func (r refusal) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(b, kindRefusal), r.nonce)
}

// size is the length of the encoding of e.
func (e entry) size() int { return entryHeader + len(e.name) + len(e.value) }

func (e entry) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, oneIf(e.deleted)), uint64(e.version))
	b = binary.BigEndian.AppendUint64(b, e.writer)
	b = append(append(b, byte(len(e.name))), e.name...)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(e.value))), e.value...)
}

func oneIf(b bool) byte {
	if b {
		return 1
	}
	return 0
}

var errMessage = errors.New("not a message of this program")

// parse decodes a message: an entry, an ask, a page or a refusal. It copies what it keeps of b.
func parse(b []byte) (any, error) {
	r := reader{b: b}
	var message any
	switch r.number(1) {
	case kindChange:
		message = r.entry()
	case kindAsk:
		a := ask{nonce: r.number(8), digest: r.number(8)}
		a.after = string(r.bytes(len(r.b)))
		r.wrong = r.wrong || a.after != "" && !validName(a.after)
		message = a
	case kindPage:
		p := page{nonce: r.number(8), index: int(r.number(1)), of: int(r.number(1)), end: r.bit()}
		for len(r.b) > 0 && !r.wrong {
			p.entries = append(p.entries, r.entry())
		}
		r.wrong = r.wrong || p.index >= p.of || p.of > mostPages || len(p.entries) == 0 && !p.end
		message = p
	case kindRefusal:
		message = refusal{r.number(8)}
	default:
		r.wrong = true
	}
	if r.wrong || len(r.b) > 0 {
		return nil, errMessage
	}
	return message, nil
}

// reader reads from the front of b, zeros when there is not enough.
type reader struct {
	b     []byte
	wrong bool // not enough, or not as it must be
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.wrong, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) number(size int) (n uint64) {
	for _, b := range r.bytes(size) {
		n = n<<8 | uint64(b)
	}
	return n
}

func (r *reader) bit() bool {
	n := r.number(1)
	r.wrong = r.wrong || n > 1
	return n == 1
}

func (r *reader) entry() entry {
	e := entry{deleted: r.bit(), version: int64(r.number(8)), writer: r.number(8)}
	e.name = string(r.bytes(int(r.number(1))))
	e.value = string(r.bytes(int(r.number(2))))
	r.wrong = r.wrong || e.version < 1 || e.version > mostVersion || !validName(e.name) || !validValue(e.value) || e.deleted && e.value != ""
	return e
}
