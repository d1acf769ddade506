package datalog

import (
	"runtime"
	"testing"
	"time"
)

// spreads are ways in which the messages that nodes take can be numbered.
var spreads = []struct {
	name    string
	message func(i uint32) (origin uint64, counter uint32)
}{
	{"one origin", func(i uint32) (uint64, uint32) { return 1, i }},
	{"100 origins", func(i uint32) (uint64, uint32) { return uint64(i % 100), i / 100 }},
	{"8192 origins", func(i uint32) (uint64, uint32) { return uint64(i % 8192), i / 8192 }},
	{"every 1024th", func(i uint32) (uint64, uint32) { return uint64(i % 4), i / 4 * 1024 }},
	{"any number", func(i uint32) (uint64, uint32) { return 1, i * 2654435761 }},
}

// BenchmarkPut is the steady state: each message evicts one.
func BenchmarkPut(b *testing.B) {
	for _, s := range spreads {
		b.Run(s.name, func(b *testing.B) {
			l, payload, i := New(256<<10), make([]byte, 100), uint32(0)
			for b.Loop() {
				i++
				origin, counter := s.message(i)
				l.Release(l.Put(origin, counter, payload, time.Duration(i)))
			}
		})
	}
}

// BenchmarkPutLate is of messages whose place by age is far from both ends.
func BenchmarkPutLate(b *testing.B) {
	const retained = 100000
	l := New(retained * Overhead)
	for i := range uint32(retained) {
		l.Release(l.Put(1, i, nil, 2*time.Duration(i/(retained/2))))
	}
	i := uint32(retained)
	for b.Loop() {
		i++
		l.Release(l.Put(1, i, nil, 1))
	}
}

// BenchmarkFromMisses asks for messages in the middle of a long log that are not there.
func BenchmarkFromMisses(b *testing.B) {
	for _, s := range spreads {
		b.Run(s.name, func(b *testing.B) {
			const retained = 100000
			l := New(retained * Overhead)
			for i := range uint32(retained) {
				if origin, counter := s.message(i); i < retained/4 || i > 3*retained/4 {
					l.Release(l.Put(origin, counter, nil, 0))
				}
			}
			i := uint32(retained / 4)
			for b.Loop() {
				i = retained/4 + (i+7919)%(retained/2)
				l.From(s.message(i))
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	for _, s := range spreads {
		b.Run(s.name, func(b *testing.B) {
			l := New(100000 * Overhead)
			for i := range uint32(100000) {
				origin, counter := s.message(i)
				l.Release(l.Put(origin, counter, nil, 0))
			}
			e := l.From(1, 0)
			for b.Loop() {
				if e = l.Next(e); e == nil {
					e = l.From(1, 0)
				}
			}
		})
	}
}

// BenchmarkMemory reports what a message of 100 bytes takes of the heap in a full log.
func BenchmarkMemory(b *testing.B) {
	for _, s := range spreads {
		b.Run(s.name, func(b *testing.B) {
			var per float64
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				l, payload := New(8191*(Overhead+100)), make([]byte, 100)
				for i := range uint32(20000) {
					origin, counter := s.message(i)
					l.Release(l.Put(origin, counter, payload, time.Duration(i)))
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				per = float64(after.HeapAlloc-before.HeapAlloc) / float64(l.Len())
				runtime.KeepAlive(l)
			}
			b.ReportMetric(per, "heap-B/message")
		})
	}
}
