package main

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func examples() map[string][]byte {
	e := entry{name: "dark-mode", value: "on", version: 7, writer: 9}
	gone := entry{name: "b", deleted: true, version: mostVersion, writer: 1<<64 - 1}
	long := entry{name: strings.Repeat("n", mostName), value: strings.Repeat("v", mostValue), version: 1}
	return map[string][]byte{
		"change":          e.append([]byte{kindChange}),
		"deletion":        gone.append([]byte{kindChange}),
		"longest":         long.append([]byte{kindChange}),
		"ask":             ask{1, 2, ""}.append(nil),
		"ask behind":      ask{1, 2, "dark-mode"}.append(nil),
		"page":            page{1, 3, 4, false, []entry{gone, e}}.append(nil),
		"page of nothing": page{1, 0, 1, true, nil}.append(nil),
		"refusal":         refusal{5}.append(nil),
	}
}

func TestMessagesAreReadAsTheyWereWritten(t *testing.T) {
	for name, b := range examples() {
		m, err := parse(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var again []byte
		if e, ok := m.(entry); ok {
			again = e.append([]byte{kindChange})
		} else {
			again = m.(message).append(nil)
		}
		if !bytes.Equal(b, again) {
			t.Errorf("%s: %x is read as %+v, which is written as %x", name, b, m, again)
		}
	}
}

func TestMessagesThatCannotBeAreRefused(t *testing.T) {
	valid := entry{name: "a", value: "b", version: 1}
	with := func(change func(e *entry)) []byte {
		e := valid
		change(&e)
		return e.append([]byte{kindChange})
	}
	for name, b := range map[string][]byte{
		"nothing":               {},
		"no kind":               {9},
		"version 0":             with(func(e *entry) { e.version = 0 }),
		"a version too high":    with(func(e *entry) { e.version = mostVersion + 1 }),
		"a negative version":    with(func(e *entry) { e.version = -1 }),
		"no name":               with(func(e *entry) { e.name = "" }),
		"a space in a name":     with(func(e *entry) { e.name = "a b" }),
		"a long name":           with(func(e *entry) { e.name = strings.Repeat("n", mostName+1) }),
		"a long value":          with(func(e *entry) { e.value = strings.Repeat("v", mostValue+1) }),
		"no UTF-8":              with(func(e *entry) { e.value = "\xff" }),
		"a deletion's value":    with(func(e *entry) { e.deleted = true }),
		"a byte too many":       append(with(func(*entry) {}), 0),
		"a page without of":     page{1, 0, 0, true, []entry{valid}}.append(nil),
		"a page beyond of":      page{1, 2, 2, true, []entry{valid}}.append(nil),
		"too many pages":        page{1, 0, mostPages + 1, true, []entry{valid}}.append(nil),
		"an empty inner page":   page{1, 0, 1, false, nil}.append(nil),
		"an ask behind no name": ask{1, 2, "a b"}.append(nil),
	} {
		if m, err := parse(b); err == nil {
			t.Errorf("%s: %x is read as %+v", name, b, m)
		}
	}
}

// Whatever comes in is refused, or would be written in the same way.
func TestMutatedMessagesAreReadSafely(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		for _, b := range examples() {
			for range 500 {
				mutant := bytes.Clone(b[:rng.IntN(len(b)+1)])
				for range rng.IntN(3) {
					if len(mutant) > 0 {
						mutant[rng.IntN(len(mutant))] = byte(rng.Uint32())
					}
				}
				m, err := parse(mutant)
				if err != nil {
					continue
				}
				var again []byte
				if e, ok := m.(entry); ok {
					again = e.append([]byte{kindChange})
				} else {
					again = m.(message).append(nil)
				}
				if !bytes.Equal(mutant, again) {
					t.Fatalf("seed %d: %x is read as %v, which is written as %x", seed, mutant, reflect.ValueOf(m), again)
				}
			}
		}
	}
}
