package main

import (
	"container/list"
	"expvar"
	"sync"
	"time"
)

const (
	mostEntries = 1 << 20
	// mostAhead is how far ahead of the local clock a write may be: one from the year
	// 3000 would win for ever.
	mostAhead = time.Minute
)

// store holds the newest write of each key, including deletions, and at most `most` of them:
// the least recently used makes room. All its methods may be called from any goroutine.
type store struct {
	most int
	ttl  time.Duration

	mu      sync.Mutex
	entries map[string]*list.Element // whose values are writes
	recent  list.List                // the most recently used in front
	clock   int64                    // highest version seen
	floor   int64                    // highest version of those that made room

	hits, misses expvar.Int
	taken        expvar.Int // writes, including own ones
	older        expvar.Int // writes not taken: a newer one was here, or they were too old
	refused      expvar.Int // messages that are not writes, or too far ahead
	evicted      expvar.Int // writes that made room
}

func newStore(most int, ttl time.Duration) *store {
	return &store{most: most, ttl: ttl, entries: make(map[string]*list.Element)}
}

// get returns the value of a key, which must not be changed.
func (s *store) get(now time.Time, key string) (value []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[key]
	if ok && !now.Before(e.Value.(write).until(s.ttl)) {
		s.remove(e)
		ok = false
	}
	if !ok || e.Value.(write).deleted {
		s.misses.Add(1)
		return nil, false
	}
	s.hits.Add(1)
	s.recent.MoveToFront(e)
	return e.Value.(write).value, true
}

// next returns the version for a write now: the time, but later than any version seen, so
// that a write wins over those its writer has read.
func (s *store) next(now time.Time) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = max(s.clock+1, now.UnixMicro())
	return s.clock
}

// tooFarAhead reports whether a write of this version is refused now.
func tooFarAhead(now time.Time, version int64) bool {
	return version > now.Add(mostAhead).UnixMicro()
}

// take stores w if it is the newest write of its key. Stores that take the same writes, in
// whatever order, hold the same.
func (s *store) take(now time.Time, w write) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tooFarAhead(now, w.version) {
		s.refused.Add(1)
		return
	}
	s.clock = max(s.clock, w.version)
	e, held := s.entries[w.key]
	// What is not held may be older than a write of the same key that made room.
	if held && !w.after(e.Value.(write)) || !held && w.version <= s.floor || !now.Before(w.until(s.ttl)) {
		s.older.Add(1)
		return
	}
	s.taken.Add(1)
	if held {
		e.Value = w
		s.recent.MoveToFront(e)
		return
	}
	s.entries[w.key] = s.recent.PushFront(w)
	for len(s.entries) > s.most {
		last := s.recent.Back()
		s.floor = max(s.floor, last.Value.(write).version)
		s.remove(last)
		s.evicted.Add(1)
	}
}

// remove forgets an entry.
func (s *store) remove(e *list.Element) {
	delete(s.entries, s.recent.Remove(e).(write).key)
}

// len returns how many writes are held, deletions included.
func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

// vars returns the counters of the store.
func (s *store) vars() *expvar.Map {
	m := new(expvar.Map)
	m.Set("entries", expvar.Func(func() any { return s.len() }))
	m.Set("hits", &s.hits)
	m.Set("misses", &s.misses)
	m.Set("taken", &s.taken)
	m.Set("older", &s.older)
	m.Set("refused", &s.refused)
	m.Set("evicted", &s.evicted)
	return m
}
