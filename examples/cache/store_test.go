package main

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// at returns the time n seconds after the beginning of the story.
func at(n int) time.Time { return time.Unix(1_000_000_000+int64(n), 0) }

// put returns a write at that time by that writer.
func put(n int, writer uint64, key, value string) write {
	return write{version: at(n).UnixMicro(), writer: writer, key: key, value: []byte(value)}
}

func (s *store) wants(t *testing.T, now time.Time, key, value string) {
	t.Helper()
	if got, ok := s.get(now, key); string(got) != value || ok != (value != "") {
		t.Errorf("of %s the store holds %q, %v instead of %q", key, got, ok, value)
	}
}

func TestTheOrderInWhichWritesArriveDoesNotMatter(t *testing.T) {
	gone := put(3, 1, "b", "")
	gone.deleted = true
	writes := []write{
		put(1, 1, "a", "first"), put(1, 2, "a", "of a higher writer"), put(2, 1, "a", "last"),
		put(1, 9, "b", "before"), gone, put(2, 9, "b", "between"),
		put(1, 1, "c", "here"), put(1, 2, "c", "there"),
	}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		rng.Shuffle(len(writes), func(i, j int) { writes[i], writes[j] = writes[j], writes[i] })
		s := newStore(10, time.Hour)
		for _, w := range writes {
			s.take(at(5), w)
			if rng.IntN(3) == 0 {
				s.take(at(5), w) // again
			}
		}
		s.wants(t, at(5), "a", "last")
		s.wants(t, at(5), "b", "")
		s.wants(t, at(5), "c", "there")
		if t.Failed() {
			t.Fatalf("with the order of seed %d", seed)
		}
	}
}

func TestAWriteAfterASeenOneWins(t *testing.T) {
	s := newStore(10, time.Hour)
	ahead := put(30, 7, "a", "of a clock that is ahead")
	s.take(at(0), ahead)
	for range 3 {
		w := put(0, 1, "a", "after it")
		w.version = s.next(at(0))
		if !w.after(ahead) {
			t.Fatalf("a write with the version %d does not win over %d, seen before it", w.version, ahead.version)
		}
	}
	s.take(at(0), put(0, 1, "b", "x"))
	if a, b := s.next(at(40)), at(40).UnixMicro(); a != b {
		t.Errorf("the version of a write is %d, not the time %d", a, b)
	}
}

func TestTheEntryUsedLongestAgoMakesRoom(t *testing.T) {
	s := newStore(2, time.Hour)
	s.take(at(1), put(1, 1, "a", "x"))
	s.take(at(2), put(2, 1, "b", "x"))
	s.wants(t, at(2), "a", "x")
	s.take(at(3), put(3, 1, "c", "x"))
	s.wants(t, at(3), "a", "x")
	s.wants(t, at(3), "b", "")
	s.wants(t, at(3), "c", "x")
	if s.len() != 2 || s.recent.Len() != 2 {
		t.Errorf("a store for 2 entries holds %d, in a list of %d", s.len(), s.recent.Len())
	}
	// A newer write of b was here: an older one that arrives late is not taken.
	s.take(at(4), put(1, 9, "b", "old"))
	s.wants(t, at(4), "b", "")
	s.take(at(5), put(5, 1, "b", "new"))
	s.wants(t, at(5), "b", "new")
}

func TestWritesLastUntilTheirTimeIsOver(t *testing.T) {
	s := newStore(10, 10*time.Second)
	s.take(at(5), put(0, 1, "a", "x"))
	s.wants(t, at(9), "a", "x")
	s.wants(t, at(10), "a", "")
	if s.len() != 0 {
		t.Error("an entry whose time is over is kept though somebody has asked for it")
	}
	s.take(at(11), put(0, 1, "a", "x"))
	s.wants(t, at(11), "a", "")
	s.take(at(0), put(60, 1, "b", "a minute ahead"))
	s.take(at(0), put(61, 1, "c", "too far ahead"))
	s.wants(t, at(0), "b", "a minute ahead")
	s.wants(t, at(0), "c", "")
	if taken, older, refused := s.taken.Value(), s.older.Value(), s.refused.Value(); taken != 2 || older != 1 || refused != 1 {
		t.Errorf("of four writes, %d are counted as taken, %d as older, %d as refused", taken, older, refused)
	}
}

func TestWritesAreReadAsTheyWereSent(t *testing.T) {
	gone := write{version: 1, writer: 2, key: "k", deleted: true}
	for _, w := range []write{
		{version: 1<<62 + 5, writer: 1<<63 + 7, key: "key", value: []byte("value")},
		{key: strings.Repeat("k", mostKey), value: []byte{}},
		gone,
	} {
		b := w.append(nil)
		got, err := parseWrite(b)
		if err != nil || !reflect.DeepEqual(got, w) {
			t.Errorf("%+v was read as %+v, %v", w, got, err)
		}
		for n := range writeHeader + len(w.key) {
			if got, err := parseWrite(b[:n]); err == nil {
				t.Errorf("the first %d bytes of %+v were read as %+v", n, w, got)
			}
		}
	}
	for what, b := range map[string][]byte{
		"a deletion with a value": append(gone.append(nil), 'x'),
		"an unknown kind":         append([]byte{3}, gone.append(nil)[1:]...),
		"a key with a space":      write{key: "a b"}.append(nil),
		"no key":                  write{}.append(nil),
		"a key too long":          write{key: strings.Repeat("k", mostKey+1)}.append(nil),
		"a negative version":      write{version: -1, key: "k"}.append(nil),
	} {
		if w, err := parseWrite(b); err == nil {
			t.Errorf("%s was read as %+v", what, w)
		}
	}
}

func FuzzParseWrite(f *testing.F) {
	f.Add(put(1, 1, "key", "value").append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, err := parseWrite(b); err == nil && !bytes.Equal(w.append(nil), b) {
			t.Errorf("%x was read as %+v, which is sent otherwise", b, w)
		}
	})
}
