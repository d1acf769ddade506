package main

import (
	"cmp"
	"hash/fnv"
	"unicode/utf8"
)

const (
	mostName  = 64   // bytes of a flag's name
	mostValue = 1000 // bytes of its value

	// mostVersion is far in the future, and leaves room above it: a version is never negative.
	mostVersion = 1 << 62
)

// entry is the newest write of a flag: a value, or that it was deleted.
type entry struct {
	name    string
	value   string
	deleted bool
	version int64  // see store.next
	writer  uint64 // the id of the node that wrote it
}

// after reports whether e wins over g, another write. No two writes have the same version and
// writer, so all replicas prefer the same one.
func (e entry) after(g entry) bool {
	return cmp.Or(cmp.Compare(e.version, g.version), cmp.Compare(e.writer, g.writer)) > 0
}

// digest returns a number that two writes share only by chance.
func (e entry) digest() uint64 {
	h := fnv.New64a()
	h.Write(e.append(nil))
	return h.Sum64()
}

func validName(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= mostName
}

func validValue(value string) bool { return len(value) <= mostValue && utf8.ValidString(value) }
