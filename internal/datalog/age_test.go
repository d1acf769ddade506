package datalog

import (
	"math/rand/v2"
	"testing"
	"time"
)

// ages returns when the retained messages were born, from the oldest on.
func (l *Log) ages(t *testing.T) (all []time.Duration) {
	t.Helper()
	newer := &l.ends
	for e := l.ends.older; e != &l.ends; newer, e = e, e.older {
		if e.newer != newer || len(all) == l.Len() {
			t.Fatalf("the message after that of %v is not the one it is before of", e.Born)
		}
		all = append([]time.Duration{e.Born}, all...)
	}
	if l.ends.newer != newer || len(all) != l.Len() {
		t.Fatalf("%d messages are retained and %d are in line", l.Len(), len(all))
	}
	return all
}

func TestWhatIsOldMakesRoomFirstWheneverItCame(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := New(2 * mostPassed * Overhead)
		for i := range 500 {
			born := time.Duration(r.IntN(1000)) * time.Second
			before := l.ages(t)
			e := l.Put(1, uint32(i+1), nil, born)
			if len(before) == 2*mostPassed && born < before[0] && e.retained() {
				t.Fatalf("seed %d: a message of %v was retained in place of one of %v", seed, born, before[0])
			}
			l.Release(e)
			after := l.ages(t)
			for j := 1; j < len(after); j++ {
				if after[j] < after[j-1] {
					t.Fatalf("seed %d: the message of %v stands behind that of %v", seed, after[j], after[j-1])
				}
			}
		}
	}
}

func TestThePlaceOfAMessageIsNotLookedForForEver(t *testing.T) {
	l := New(10000 * Overhead)
	for i := range 4000 {
		l.Release(l.Put(1, uint32(i+1), nil, time.Duration(i)*time.Second))
	}
	e := l.Put(2, 1, nil, 2000*time.Second)
	if got := e.older.Born; got != (4000-mostPassed-1)*time.Second {
		t.Errorf("it should stand behind the %d newest, but stands behind that of %v", mostPassed, got)
	}
	l.Release(e)
}
