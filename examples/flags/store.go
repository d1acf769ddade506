package main

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// mostFlags bounds the flags that have a value.
	mostFlags = 1000
	// mostHeld bounds the flags held, deleted ones included, which take at most 2.2 MB. A flag
	// that was deleted is held, until 1000 others were deleted after it, because an older write
	// that arrives late would bring it back.
	mostHeld = 2 * mostFlags
)

var (
	errTooMany = errors.New("there are 1000 flags already: delete one first")
	errClock   = errors.New("the versions are used up: set the clock of the replicas right and start a new cluster")
)

// store holds the newest write of each flag. Stores that take the same writes, in whatever
// order and how often they do, hold the same. All its methods may be called from any goroutine.
type store struct {
	mu      sync.Mutex
	entries []entry // ordered by name
	live    int     // of these, not deleted
	sum     uint64  // of the digests of all, by exclusive or
	clock   int64   // the highest version seen
	counts  counts
}

// counts only grow.
type counts struct {
	taken   uint64 // writes taken
	older   uint64 // writes not taken: the same or a newer one was here
	evicted uint64 // flags given up because there were too many
}

// next returns the version for a write now: the time in microseconds, but later than every
// version seen. So a write wins over all that its writer has seen, whatever their clocks say,
// and of two that have not seen one another the one that is later by the clock.
func (s *store) next(now time.Time) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	version := max(s.clock+1, now.UnixMicro())
	if version > mostVersion {
		return 0, errClock
	}
	s.clock = version
	return version, nil
}

// room returns an error if a new flag would be one too many.
func (s *store) room(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, held := s.find(name); s.live < mostFlags || held && !s.entries[i].deleted {
		return nil
	}
	return errTooMany
}

// take stores e if it is the newest write of its flag. When there are too many, the deleted
// ones go first, and of these, or of all if none is deleted, the one that was written first.
// That happens to flags with a value only where replicas that were cut off from one another
// have added more than 2000 together.
func (s *store) take(e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = max(s.clock, e.version)
	i, held := s.find(e.name)
	if held && !e.after(s.entries[i]) {
		s.counts.older++
		return
	}
	s.counts.taken++
	if held {
		s.forget(s.entries[i])
		s.entries[i] = e
	} else {
		s.entries = slices.Insert(s.entries, i, e)
	}
	s.note(e)
	if len(s.entries) > mostHeld {
		s.evict()
	}
}

// evict gives up a flag.
func (s *store) evict() {
	first := 0
	for i, e := range s.entries {
		if g := s.entries[first]; e.deleted && !g.deleted || e.deleted == g.deleted && g.after(e) {
			first = i
		}
	}
	s.forget(s.entries[first])
	s.entries = slices.Delete(s.entries, first, first+1)
	s.counts.evicted++
}

// note adds e to what is known of all flags, and forget takes it away.
func (s *store) note(e entry) {
	s.sum ^= e.digest()
	if !e.deleted {
		s.live++
	}
}

func (s *store) forget(e entry) {
	s.sum ^= e.digest()
	if !e.deleted {
		s.live--
	}
}

func (s *store) find(name string) (i int, held bool) {
	return slices.BinarySearchFunc(s.entries, name, func(e entry, name string) int { return strings.Compare(e.name, name) })
}

// get returns the value of a flag.
func (s *store) get(name string) (value string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, held := s.find(name)
	if !held || s.entries[i].deleted {
		return "", false
	}
	return s.entries[i].value, true
}

// values returns all flags that have a value.
func (s *store) values() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := make(map[string]string, s.live)
	for _, e := range s.entries {
		if !e.deleted {
			values[e.name] = e.value
		}
	}
	return values
}

// digest returns a number that two stores share only by chance unless they hold the same.
func (s *store) digest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sum
}

// answer returns the pages that answer a, each of at most size bytes, which is enough for any
// flag. They have the flags in order, so that the next ask can go on behind them.
func (s *store) answer(a ask, size int) []page {
	s.mu.Lock()
	defer s.mu.Unlock()
	pages := []page{{nonce: a.nonce}}
	i, held := s.find(a.after)
	if held {
		i++
	}
	if a.after == "" && a.digest == s.sum {
		i = len(s.entries)
	}
	for room := size - pageHeader; i < len(s.entries); i++ {
		e := s.entries[i]
		if e.size() > room {
			if len(pages) == mostPages {
				break
			}
			pages, room = append(pages, page{nonce: a.nonce}), size-pageHeader
		}
		last := &pages[len(pages)-1]
		last.entries, room = append(last.entries, e), room-e.size()
	}
	for n := range pages {
		pages[n].index, pages[n].of, pages[n].end = n, len(pages), i == len(s.entries)
	}
	return pages
}

// state returns the counts, and how many flags are live and held.
func (s *store) state() (c counts, live, held int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts, s.live, len(s.entries)
}
