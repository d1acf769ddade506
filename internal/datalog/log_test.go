package datalog

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

type key struct {
	origin  uint64
	counter uint32
}

// plainLog is the retained messages in order of arrival.
type plainLog struct {
	limit    int
	messages []plainMessage
	evicted  uint64
}

type plainMessage struct {
	key
	size    int
	dropped bool
}

func (m *plainLog) bytes() (n int) {
	for _, msg := range m.messages {
		n += msg.size
	}
	return n
}

func (m *plainLog) has(k key) bool {
	return slices.ContainsFunc(m.messages, func(msg plainMessage) bool { return msg.key == k && !msg.dropped })
}

func (m *plainLog) put(k key, size int) {
	if m.has(k) || size > m.limit {
		return
	}
	for m.bytes()+size > m.limit {
		m.messages = m.messages[1:]
		m.evicted++
	}
	m.messages = append(m.messages, plainMessage{k, size, false})
}

// drop makes the messages of an origin impossible to find, and leaves them in their places.
func (m *plainLog) drop(origin uint64) {
	for i := range m.messages {
		if m.messages[i].origin == origin {
			m.messages[i].dropped = true
		}
	}
}

// counters returns the origin's retained counters, ascending.
func (m *plainLog) counters(origin uint64) (c []uint32) {
	for _, msg := range m.messages {
		if msg.origin == origin && !msg.dropped {
			c = append(c, msg.counter)
		}
	}
	slices.Sort(c)
	return c
}

// payloadOf returns what a message says, which follows from its name: so a buffer
// that is used again too early is noticed.
func payloadOf(k key) []byte {
	word := []byte{byte(k.origin), byte(k.counter), byte(k.counter >> 8)}
	return bytes.Repeat(word, int((k.counter*31+uint32(k.origin)*7)%100))
}

func intact(e *Entry) bool {
	return bytes.Equal(e.Payload, payloadOf(key{e.Origin, e.Counter}))
}

func TestLogAgreesWithAPlainList(t *testing.T) {
	const origins = 4
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		number := numberings[seed%uint64(len(numberings))]
		m := plainLog{limit: []int{0, 400, 3000, 9000}[r.IntN(4)]}
		l := New(m.limit)
		type held struct {
			e *Entry
			k key
		}
		var out []held // references out
		for step := range 600 {
			k := key{1 + r.Uint64N(origins), number(r, step)}
			switch op := r.IntN(20); {
			case op < 12:
				p := payloadOf(k)
				e := l.Put(k.origin, k.counter, p, time.Duration(step))
				clear(p) // the payload stays the caller's
				m.put(k, Overhead+len(p))
				out = append(out, held{e, k})
			case op < 13:
				out = append(out, held{l.Detached(k.origin, k.counter, payloadOf(k), 0), k})
			case op < 15:
				if e := l.Get(k.origin, k.counter); e != nil {
					out = append(out, held{l.Retain(e), k})
				}
			case op < 16 && len(out) > 0:
				h := out[r.IntN(len(out))]
				out = append(out, held{l.Retain(h.e), h.k})
			case op < 17 && r.IntN(5) == 0:
				l.Drop(k.origin)
				m.drop(k.origin)
			}
			for len(out) > r.IntN(40) {
				i := r.IntN(len(out))
				l.Release(out[i].e)
				out = slices.Delete(out, i, i+1)
			}
			for _, h := range out {
				if (key{h.e.Origin, h.e.Counter}) != h.k || !intact(h.e) {
					t.Fatalf("seed %d step %d: message %v is still held but reads as %d/%d", seed, step, h.k, h.e.Origin, h.e.Counter)
				}
			}
			if r.IntN(3) > 0 { // at times several changes follow each other
				compareLogs(t, seed, step, l, &m, origins, number(r, step)+r.Uint32N(3)-1)
			}
		}
		for _, h := range out {
			l.Release(h.e)
		}
	}
}

// compareLogs fails unless the log retains what the plain list does. Where it begins its next
// search is left as it was.
func compareLogs(t *testing.T, seed uint64, step int, l *Log, m *plainLog, origins uint64, probe uint32) {
	t.Helper()
	near, nearOrigin := l.near, l.nearOrigin
	defer func() { l.near, l.nearOrigin = near, nearOrigin }()
	if l.Len() != len(m.messages) || l.Bytes() != m.bytes() || l.Evicted() != m.evicted || l.Bytes() > m.limit {
		t.Fatalf("seed %d step %d: %d messages of %d bytes should be retained and %d evicted, but the log says %d, %d, %d",
			seed, step, len(m.messages), m.bytes(), m.evicted, l.Len(), l.Bytes(), l.Evicted())
	}
	e, older := l.ends.newer, &l.ends
	for i, msg := range m.messages {
		if (key{e.Origin, e.Counter}) != msg.key || e.older != older || !intact(e) || (l.Get(msg.origin, msg.counter) == e) == msg.dropped {
			t.Fatalf("seed %d step %d: message %d by arrival should be %v, and is %+v", seed, step, i, msg.key, e)
		}
		e, older = e.newer, e
	}
	if e != &l.ends || e.older != older {
		t.Fatalf("seed %d step %d: the newest message should be %+v, but after it comes %+v", seed, step, older, e)
	}
	if err := l.wellFormed(); err != nil {
		t.Fatalf("seed %d step %d: %v", seed, step, err)
	}
	for origin := uint64(1); origin <= origins; origin++ {
		e := l.From(origin, 0)
		want := m.counters(origin)
		for _, c := range want {
			if e == nil || e.Origin != origin || e.Counter != c {
				t.Fatalf("seed %d step %d: origin %d should have %v in order, but instead of %d comes %+v", seed, step, origin, want, c, e)
			}
			e = l.Next(e)
		}
		if e != nil {
			t.Fatalf("seed %d step %d: origin %d should end after %v, but then comes %+v", seed, step, origin, want, e)
		}
		i, there := slices.BinarySearch(want, probe)
		if e := l.Get(origin, probe); (e != nil) != there {
			t.Fatalf("seed %d step %d: of origin %d with %v the log finds %+v for %d", seed, step, origin, want, e, probe)
		}
		switch e := l.From(origin, probe); {
		case e == nil && i == len(want):
		case e == nil || i == len(want) || e.Counter != want[i]:
			t.Fatalf("seed %d step %d: of origin %d with %v the first from %d on is not %+v", seed, step, origin, want, probe, e)
		}
	}
}

func TestLogKeepsTheFirstOfTwins(t *testing.T) {
	l := New(10000)
	first := l.Put(1, 7, []byte("first"), 5)
	again := l.Put(1, 7, []byte("again"), 9)
	if again != first || string(again.Payload) != "first" || again.Born != 5 || l.Len() != 1 {
		t.Fatalf("message 1/7 was retained and should stay as it was, but reads %+v", again)
	}
	l.Release(first)
	l.Release(again)
	if l.Get(1, 7) != first {
		t.Fatal("all references are back, and message 1/7 should still be retained")
	}
}

func TestEntryOutlivesItsEviction(t *testing.T) {
	l := New(2 * (Overhead + 5))
	e := l.Put(1, 1, []byte("alpha"), 0)
	l.Retain(e)
	l.Release(e)
	for c := uint32(2); c < 50; c++ {
		l.Release(l.Put(1, c, []byte("other"), 0))
	}
	if l.Get(1, 1) != nil || l.Next(e) != nil || l.Evicted() != 47 {
		t.Fatalf("of 49 messages the last two should be retained and the rest evicted, not %d", l.Evicted())
	}
	if string(e.Payload) != "alpha" || e.Counter != 1 {
		t.Fatalf("message 1/1 is still held, but now reads %q", e.Payload)
	}
	l.Release(e)
	fresh := l.Detached(9, 9, []byte("fresh"), 1)
	if fresh != e {
		t.Fatal("the last reference to message 1/1 came back, and its entry should be used again")
	}
	if l.Next(fresh) != nil || l.Get(9, 9) != nil {
		t.Fatalf("a detached message cannot be found, but reads %+v", fresh)
	}
}

func TestLogDoesNotRetainWhatCannotFit(t *testing.T) {
	for _, limit := range []int{0, Overhead + 9} {
		l := New(limit)
		l.Release(l.Put(1, 1, nil, 0))
		was, refused := l.Len(), l.Refused()
		e := l.Put(1, 2, make([]byte, 10), 0)
		if l.Get(1, 2) != nil || len(e.Payload) != 10 || l.Len() != was || l.Evicted() != 0 || l.Refused() != refused+1 {
			t.Fatalf("with limit %d a message of 10 bytes is only handed back and drives out nothing, but the log holds %d", limit, l.Len())
		}
		l.Release(e)
	}
	l := New(Overhead + 9)
	if l.Release(l.Put(1, 1, make([]byte, 9), 0)); l.Get(1, 1) == nil {
		t.Fatal("a message that fills the log to the last byte fits")
	}
}

func TestReferencesBalance(t *testing.T) {
	l := New(1000)
	retained, detached := l.Put(1, 1, nil, 0), l.Detached(1, 2, nil, 0)
	l.Release(retained)
	l.Release(detached)
	for what, f := range map[string]func(){
		"Release of a retained message nobody holds": func() { l.Release(retained) },
		"Release of a message that is gone":          func() { l.Release(detached) },
		"Retain of a message that is gone":           func() { l.Retain(detached) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Fatalf("%s is a mistake of the caller and should panic", what)
				}
			}()
			f()
		}()
	}
}

func TestPoolIsBoundedForEachSize(t *testing.T) {
	l := New(0)
	for _, size := range []int{0, 1, 64, 65, 1400, 60000, 65536, 65537, 1 << 20} {
		var out []*Entry
		for c := range uint32(2*keepSize/(Overhead+size) + 2) { // twice what could be kept
			out = append(out, l.Detached(1, c, make([]byte, size), 0))
		}
		for _, e := range out {
			l.Release(e)
		}
		for i, n := range l.pool.bytes {
			sum := 0
			for e := l.pool.free[i]; e != nil; e = e.older {
				if cap(e.Payload) != 1<<(i+minClass) {
					t.Fatalf("a free entry with a buffer of %d bytes is among those of %d", cap(e.Payload), 1<<(i+minClass))
				}
				sum += Overhead + cap(e.Payload)
			}
			if sum != n || n > keepSize {
				t.Fatalf("after messages of %d bytes the pool counts %d for size %d, holds %d and should hold at most %d", size, n, i, sum, keepSize)
			}
		}
	}
}

func TestLogAllocatesNothingOnceWarm(t *testing.T) {
	for _, s := range spreads {
		l := New(200 * (Overhead + 1000))
		payload, i := make([]byte, 1400), uint32(0)
		round := func() {
			i++
			origin, counter := s.message(i)
			e := l.Put(origin, counter, payload[:i*37%1400], 0)
			d := l.Detached(99, i, payload, 0)
			l.From(origin, counter-50)
			l.Release(d)
			l.Release(e)
		}
		for range 20000 {
			round()
		}
		if n := testing.AllocsPerRun(20000, round); n != 0 {
			t.Errorf("messages of %s: a warm log allocates %v times each round", s.name, n)
		}
	}
}

func TestPinnedMessagesStayWhateverTheirSizeAndAge(t *testing.T) {
	const room = 4 * Overhead
	l := New(room)
	put := func(origin uint64, c uint32) { l.Release(l.Put(origin, c, nil, time.Duration(c))) }
	pin := func(origin uint64, c uint32, size int) *Entry {
		e := l.Pin(origin, c, make([]byte, size), time.Duration(c))
		l.Release(e)
		return e
	}
	first, large := pin(1, 1, 0), pin(2, 1, 2*room)
	for c := uint32(2); c < 20; c++ {
		put(1, c)
	}
	if l.Get(1, 1) != first || l.Get(2, 1) != large || pin(1, 1, 9) != first || l.Len() != 4 || l.Bytes() != room || l.Pinned() != 2*Overhead+2*room {
		t.Fatalf("2 messages are pinned beside 4 others, but the log says %d, %d bytes, %d pinned", l.Len(), l.Bytes(), l.Pinned())
	}
	l.Unpin(first)
	if l.Get(1, 1) != nil || l.Len() != 4 {
		t.Fatalf("the message that is no longer pinned is too old to be retained among %d", l.Len())
	}
	last := pin(1, 50, 0)
	l.Unpin(last)
	l.Unpin(last)
	if l.Get(1, 50) != last || l.Get(1, 16) != nil || l.Len() != 4 {
		t.Fatalf("the newest message drives out the oldest when it is no longer pinned, but %d are retained", l.Len())
	}
	pin(2, 60, 0)
	if l.Drop(2); l.Pinned() != 0 || l.Len() != 4 || l.Get(2, 60) != nil || l.Get(1, 17) != nil {
		t.Fatalf("dropped messages are not pinned any more, but take part as others do: %d bytes are pinned", l.Pinned())
	}
	if err := l.wellFormed(); err != nil {
		t.Fatal(err)
	}
}
