package wire

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// minRecord is the size in bytes of a record with one run.
const minRecord = recordFixed + runSize

const (
	lastOrigin  = 1<<64 - 1
	lastCounter = 1<<32 - 1
)

// record is one record of a digest as one would write it down.
type record struct {
	origin uint64
	floor  uint32
	runs   []Run
}

func (a record) equal(b record) bool {
	return a.origin == b.origin && a.floor == b.floor && slices.Equal(a.runs, b.runs)
}

// randomRecords returns up to n records that a digest can hold, ascending.
func randomRecords(r *rand.Rand, n int) (all []record) {
	origin := r.Uint64N(10)
	for range r.IntN(n + 1) {
		if origin += 1 + r.Uint64()>>(8+r.IntN(50)); r.IntN(20) == 0 && origin < lastOrigin-1 {
			origin = lastOrigin - 1
		}
		x := record{origin: origin, floor: r.Uint32() >> r.IntN(32)}
		end := uint64(x.floor)
		for range r.IntN(1 << r.IntN(9)) {
			first := end + 1 + r.Uint64N(1<<16)>>r.IntN(16)
			if end = first + r.Uint64N(0xffff)>>r.IntN(16); end > lastCounter {
				break
			}
			x.runs = append(x.runs, Run{uint32(first), uint32(end)})
		}
		if all = append(all, x); origin >= lastOrigin-1 {
			break
		}
	}
	return all
}

// digestOf returns a digest of the records.
func digestOf(all []record) *Digest {
	d := &Digest{}
	for _, x := range all {
		d.Add(x.origin, x.floor, x.runs, 1<<30)
	}
	return d
}

// read takes all records off a digest.
func read(d Digest) (all []record) {
	for {
		origin, floor, runs, ok := d.Next(nil)
		if !ok {
			return all
		}
		all = append(all, record{origin, floor, runs})
	}
}

func TestDigestComesThroughWhole(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 50))
		all := randomRecords(r, 20)
		for i := range all {
			all[i].runs = all[i].runs[:min(len(all[i].runs), MaxRuns)]
		}
		sent := digestOf(all)
		if sent.Len() != len(all) {
			t.Fatalf("seed %d: of %d records %d went into the digest", seed, len(all), sent.Len())
		}
		b := append(slices.Clone(sent.Bytes()), "what follows"...)
		got, n, ok := ParseDigest(b, len(all))
		if !ok || n != len(sent.Bytes()) || got.Len() != len(all) {
			t.Fatalf("seed %d: a digest of %d bytes should parse, but %d bytes did, %v", seed, len(sent.Bytes()), n, ok)
		}
		if back := read(got); !slices.EqualFunc(back, all, record.equal) {
			t.Fatalf("seed %d: sent were %v, but read %v", seed, all, back)
		}
		for cut := range n {
			if _, _, ok := ParseDigest(b[:cut], len(all)); ok {
				t.Fatalf("seed %d: cut to %d of %d bytes the digest should not parse", seed, cut, n)
			}
		}
		if sent.Reset(); sent.Len() != 0 || len(sent.Bytes()) != 0 {
			t.Fatalf("seed %d: after Reset %d records are left", seed, sent.Len())
		}
	}
}

func TestDigestThatMakesNoSenseIsRefused(t *testing.T) {
	one := func(origin uint64, floor uint32, numbers ...uint16) []byte {
		b := binary.BigEndian.AppendUint64(nil, origin)
		b = binary.BigEndian.AppendUint32(b, floor)
		b = append(b, byte(len(numbers)/2))
		for _, x := range numbers {
			b = binary.BigEndian.AppendUint16(b, x)
		}
		return b
	}
	for _, c := range []struct {
		why   string
		b     []byte
		count int
		ok    bool
	}{
		{"nothing is a digest too", nil, 0, true},
		{"one of nothing is not", nil, 1, false},
		{"a plain record", one(5, 7), 1, true},
		{"there is no origin 0", one(0, 7), 1, false},
		{"the last there can be", one(lastOrigin, 7), 1, true},
		{"two in order", append(one(5, 7), one(6, 7)...), 2, true},
		{"an origin comes twice", append(one(5, 7), one(5, 7)...), 2, true},
		{"they descend", append(one(6, 7), one(5, 7)...), 2, true},
		{"one more is announced", append(one(5, 7), one(6, 7)...), 3, false},
		{"a run of one right above the floor", one(5, 7, 0, 1), 1, true},
		{"an empty run", one(5, 7, 3, 0), 1, false},
		{"an empty run after another", one(5, 7, 3, 1, 0, 0), 1, false},
		{"a run to the last counter", one(5, lastCounter-2, 1, 1), 1, true},
		{"a run past the last counter", one(5, lastCounter-2, 1, 2), 1, false},
		{"a gap past the last counter", one(5, lastCounter-2, 2, 1), 1, false},
		{"the second run passes it", one(5, lastCounter-0xffff, 0, 0xffff, 0, 1), 1, false},
		{"all counters given up", one(5, lastCounter), 1, true},
	} {
		d, n, ok := ParseDigest(c.b, c.count)
		switch {
		case ok != c.ok:
			t.Errorf("%s: taken should be %v, but is %v", c.why, c.ok, ok)
		case !ok && (d.Len() != 0 || n != 0):
			t.Errorf("%s: refused, but %d records of %d bytes are left", c.why, d.Len(), n)
		case ok && (d.Len() != c.count || n != len(c.b)):
			t.Errorf("%s: all %d records should be taken, but are %d of %d bytes", c.why, c.count, d.Len(), n)
		}
	}
}

func TestDigestKeepsToItsRoom(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 51))
		all := randomRecords(r, 10)
		room := r.IntN(1 + r.IntN(2000))
		var d Digest
		used, held := 0, 0
		for _, x := range all {
			runs := min(len(x.runs), MaxRuns, max(0, room-used-recordFixed)/runSize)
			fits := used+recordFixed <= room && (runs > 0 || len(x.runs) == 0)
			if ok := d.Add(x.origin, x.floor, x.runs, room); ok != fits {
				t.Fatalf("seed %d: %d of %d bytes are taken and a record of %d runs comes: added %v", seed, used, room, len(x.runs), ok)
			}
			if !fits {
				if used+minRecord <= room {
					t.Fatalf("seed %d: %d of %d bytes are taken, which leaves room for any record, but it was refused", seed, used, room)
				}
				continue
			}
			used += recordFixed + runSize*runs
			held++
			got := read(d)[held-1]
			if len(d.Bytes()) != used || d.Len() != held || !got.equal(record{x.origin, x.floor, x.runs[:runs]}) {
				t.Fatalf("seed %d: %d records should take %d of %d bytes, with %d runs in the last, but %d take %d: %v", seed, held, used, room, runs, d.Len(), len(d.Bytes()), got)
			}
		}
	}
}

func TestDigestLeavesOutRunsThatItCannotSay(t *testing.T) {
	for _, c := range []struct {
		why   string
		floor uint32
		runs  []Run
		want  int
	}{
		{"the longest gap", 10, []Run{{First: 0xffff + 11, Last: 0xffff + 11}}, 1},
		{"one longer", 10, []Run{{First: 0xffff + 12, Last: 0xffff + 12}}, 0},
		{"the longest run", 10, []Run{{First: 12, Last: 12 + 0xfffe}}, 1},
		{"one longer", 10, []Run{{First: 12, Last: 12 + 0xffff}}, 0},
		{"a good one behind a bad one is lost with it", 10, []Run{{12, 12}, {12 + 0x20000, 13 + 0x20000}, {14 + 0x20000, 14 + 0x20000}}, 1},
		{"up to the last counter", lastCounter - 3, []Run{{First: lastCounter - 1, Last: lastCounter}}, 1},
	} {
		var d Digest
		d.Add(1, c.floor, c.runs, 1000)
		parsed, _, ok := ParseDigest(d.Bytes(), 1)
		got := read(parsed)
		if !ok || len(got) != 1 || !slices.Equal(got[0].runs, c.runs[:c.want]) {
			t.Errorf("%s: of %v the first %d should be told, but are %v", c.why, c.runs, c.want, got)
		}
	}
	var d Digest
	for i := range uint64(0x10000) {
		if ok := d.Add(i+1, 0, nil, 1<<30); ok != (i < 0xffff) {
			t.Fatalf("record %d should be added only if its count has two bytes, but: %v", i+1, ok)
		}
	}
}

func TestDigestAllocatesNothingOnceWarm(t *testing.T) {
	all := randomRecords(rand.New(rand.NewPCG(1, 55)), 20)
	var d Digest
	runs := make([]Run, 0, MaxRuns)
	round := func() {
		d.Reset()
		for _, x := range all {
			d.Add(x.origin, x.floor, x.runs, 1200)
		}
		parsed, _, _ := ParseDigest(d.Bytes(), d.Len())
		for {
			if _, _, _, ok := parsed.Next(runs); !ok {
				break
			}
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Fatalf("a warm digest allocates %v times each round", n)
	}
}

func FuzzDigest(f *testing.F) {
	for seed := range uint64(20) {
		d := digestOf(randomRecords(rand.New(rand.NewPCG(seed, 56)), 5))
		f.Add(d.Bytes(), uint16(d.Len()))
	}
	f.Fuzz(func(t *testing.T, b []byte, count uint16) {
		d, n, ok := ParseDigest(b, int(count))
		if !ok {
			return
		}
		if n > len(b) || d.Len() != int(count) || !bytes.Equal(d.Bytes(), b[:n]) {
			t.Fatalf("%d records of %d bytes became %d of %d", count, len(b), d.Len(), n)
		}
		all := read(d)
		if len(all) != int(count) {
			t.Fatalf("%d records were announced and %d read", count, len(all))
		}
		for _, x := range all {
			if x.origin == 0 {
				t.Fatal("a record is of the origin 0")
			}
			end := x.floor
			for _, run := range x.runs {
				if run.First <= end || run.Last < run.First {
					t.Fatalf("origin %d has the run %v after %d", x.origin, run, end)
				}
				end = run.Last
			}
		}
		if again := digestOf(all); !bytes.Equal(again.Bytes(), b[:n]) {
			t.Fatalf("what was read as %v is written otherwise", all)
		}
	})
}
