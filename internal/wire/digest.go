package wire

import "iter"

const (
	recordFixed = 8 + 4 + 1
	runSize     = 2 + 2

	// MaxRuns is how many runs a record may have.
	MaxRuns = 255
)

// Run is a range of counters, both ends included, First <= Last.
type Run struct{ First, Last uint32 }

// Digest is a list of records as it stands in a Status. Runs lie above the floor, as in the ACK
// ranges of QUIC (RFC 9000, section 19.3.1) but upwards: skip gap counters, then the next length
// counters are in the run. The zero value is an empty digest.
type Digest struct {
	count int
	raw   []byte
}

// Len returns the number of records.
func (d *Digest) Len() int { return d.count }

// Bytes returns the records as they are sent. They alias the digest.
func (d *Digest) Bytes() []byte { return d.raw }

// Reset empties the digest and keeps its memory.
func (d *Digest) Reset() { d.raw, d.count = d.raw[:0], 0 }

// Runs returns how many runs a further record of a digest of room bytes may have, negative if it
// has no room for any record.
func (d *Digest) Runs(room int) int {
	space := room - len(d.raw) - recordFixed
	if space < 0 {
		return -1
	}
	return min(space/runSize, MaxRuns)
}

// Add appends a record with as many of the runs as fit, so that the digest takes at most
// room bytes, and reports whether it did.
func (d *Digest) Add(origin uint64, floor uint32, runs []Run, room int) bool {
	space := room - len(d.raw) - recordFixed
	if space < 0 || d.count == 0xffff || (len(runs) > 0 && space < runSize) {
		return false
	}
	d.raw = be.AppendUint64(d.raw, origin)
	d.raw = be.AppendUint32(d.raw, floor)
	at := len(d.raw)
	d.raw = append(d.raw, 0)
	end := floor
	for _, r := range runs[:min(len(runs), space/runSize, MaxRuns)] {
		gap, length := r.First-end-1, r.Last-r.First+1
		if gap > 0xffff || length > 0xffff {
			break
		}
		d.raw = be.AppendUint16(d.raw, uint16(gap))
		d.raw = be.AppendUint16(d.raw, uint16(length))
		d.raw[at]++
		end = r.Last
	}
	d.count++
	return true
}

// Next removes the first record of a digest and returns it; its runs are decoded into the
// space of runs.
func (d *Digest) Next(runs []Run) (origin uint64, floor uint32, _ []Run, ok bool) {
	runs = runs[:0]
	if d.count == 0 {
		return 0, 0, runs, false
	}
	origin, floor, n := parseRecord(d.raw)
	end := floor
	for b := d.raw[recordFixed:n]; len(b) > 0; b = b[runSize:] {
		first := end + uint32(be.Uint16(b)) + 1
		end = first + uint32(be.Uint16(b[2:])) - 1
		runs = append(runs, Run{First: first, Last: end})
	}
	d.raw, d.count = d.raw[n:], d.count-1
	return origin, floor, runs, true
}

// All yields the records of a digest by origin, without their floors. Runs are decoded into the
// space of runs, and valid until the next one.
func (d Digest) All(runs []Run) iter.Seq2[uint64, []Run] {
	return func(yield func(uint64, []Run) bool) {
		for {
			origin, _, theirs, ok := d.Next(runs)
			if runs = theirs; !ok || !yield(origin, theirs) {
				return
			}
		}
	}
}

// ParseDigest reads count records from the front of b and returns how many bytes they took. ok is
// false if they end early, or if a run is empty or passes the last counter. The digest aliases b.
func ParseDigest(b []byte, count int) (d Digest, n int, ok bool) {
	for range count {
		k, ok := checkRecord(b[n:])
		if !ok {
			return Digest{}, 0, false
		}
		n += k
	}
	return Digest{count, b[:n]}, n, true
}

func checkRecord(b []byte) (n int, ok bool) {
	if len(b) < recordFixed {
		return 0, false
	}
	origin, floor, n := parseRecord(b)
	if len(b) < n || origin == 0 {
		return 0, false
	}
	end := uint64(floor)
	for r := b[recordFixed:n]; len(r) > 0; r = r[runSize:] {
		length := uint64(be.Uint16(r[2:]))
		end += uint64(be.Uint16(r)) + length
		if length == 0 || end > 1<<32-1 {
			return 0, false
		}
	}
	return n, true
}

func parseRecord(b []byte) (origin uint64, floor uint32, n int) {
	return be.Uint64(b), be.Uint32(b[8:]), recordFixed + runSize*int(b[12])
}
