package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"time"
)

const (
	mostKey = 128 // bytes

	// A write is sent as
	//
	//	0        1                 9                 17       18
	//	+--------+--------+--------+--------+--------+--------+-----+-------+
	//	| kind   | version         | writer          | length | key | value |
	//	+--------+--------+--------+--------+--------+--------+-----+-------+
	//
	// where length is that of the key, the value takes the rest, and numbers are
	// big-endian.
	writeHeader = 18

	kindPut    = 1
	kindDelete = 2
)

// write is a change of one entry: a new value, or none.
type write struct {
	version int64 // microseconds since 1970, see store.next
	writer  uint64
	key     string
	value   []byte
	deleted bool
}

// after reports whether w wins over x, a write of the same key. No two writes have the same
// version and writer.
func (w write) after(x write) bool {
	return cmp.Or(cmp.Compare(w.version, x.version), cmp.Compare(w.writer, x.writer)) > 0
}

// until returns when the write is forgotten. That depends only on the write, so a forgotten
// write cannot come back by arriving late.
func (w write) until(ttl time.Duration) time.Time {
	return time.UnixMicro(w.version).Add(ttl)
}

// append appends the encoding of w to b.
func (w write) append(b []byte) []byte {
	kind := byte(kindPut)
	if w.deleted {
		kind = kindDelete
	}
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, uint64(w.version))
	b = binary.BigEndian.AppendUint64(b, w.writer)
	b = append(b, byte(len(w.key)))
	b = append(b, w.key...)
	return append(b, w.value...)
}

var errNoWrite = errors.New("not a write")

// parseWrite decodes what append encoded. It copies what it keeps of b.
func parseWrite(b []byte) (w write, err error) {
	if len(b) < writeHeader || len(b)-writeHeader < int(b[17]) {
		return w, errNoWrite
	}
	key, value := b[writeHeader:writeHeader+int(b[17])], b[writeHeader+int(b[17]):]
	w = write{
		version: int64(binary.BigEndian.Uint64(b[1:])),
		writer:  binary.BigEndian.Uint64(b[9:]),
		key:     string(key),
		deleted: b[0] == kindDelete,
	}
	if b[0] != kindPut && !(w.deleted && len(value) == 0) || !validKey(w.key) || w.version < 0 {
		return w, errNoWrite
	}
	if !w.deleted {
		w.value = append([]byte{}, value...)
	}
	return w, nil
}

// validKey reports whether key has 1 to mostKey bytes of visible ASCII.
func validKey(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return len(key) > 0 && len(key) <= mostKey
}
