package wire

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"
)

// The longest and the shortest that there is of each.
var (
	longest  = Member{math.MaxUint64, v6}
	shortest = Member{ID: 1}
)

func TestSizesAreWhatIsSent(t *testing.T) {
	cluster := text(strings.Repeat("x", 255))
	payload := text(strings.Repeat("y", math.MaxUint16))
	full := WriteList(nil, 0)
	for full.Add(longest, math.MaxInt) {
	}
	for _, c := range []struct {
		what string
		says int
		p    plain
	}{
		{"MaxWelcomeSize", MaxWelcomeSize, plainWelcome{From: longest, Observed: v6}},
		{"HelloSize of the longest name", HelloSize(string(cluster)), plainHello{From: longest, Cluster: cluster}},
		{"HelloSize of no name", HelloSize(""), plainHello{From: longest}},
		{"AckOverhead", AckOverhead, plainAck{}},
		{"AckOverhead and AckSizes", AckOverhead + MostAcked*AckSize, plainAck{Runs: make([]AckRun, MostAcked)}},
		{"AckOverhead and the AckSize of a long run", AckOverhead + AckSize, plainAck{true, []AckRun{{1, 255}}}},
		{"StatusOverhead", StatusOverhead, plainStatus{}},
		{"StatusOverhead and minRecord", StatusOverhead + minRecord,
			plainStatus{Records: []plainRecord{{1, 0, []Run{{First: 2, Last: 2}}}}}},
		{"DataSize without an arc", DataSize(^FlagArc, 0), plainData{Flags: ^FlagArc}},
		{"DataSize with an arc", DataSize(FlagArc, 1), plainData{Flags: FlagArc, Payload: "y"}},
		{"DataSize of the longest payload", DataSize(math.MaxUint8, math.MaxUint16), plainData{Flags: math.MaxUint8, Payload: payload}},
	} {
		if got := len(c.p.appendTo(Header{}.AppendTo(nil))); got != c.says {
			t.Errorf("%s says %d bytes, but %d are sent", c.what, c.says, got)
		}
	}
	if got := len(longest.AppendTo(nil)); got != MaxMemberSize {
		t.Errorf("MaxMemberSize says %d bytes, but %d are sent", MaxMemberSize, got)
	}
	if full.Len() != 1<<14-1 {
		t.Errorf("a MemberList should hold %d members, all that 14 bits count, but holds %d", 1<<14-1, full.Len())
	}
	if _, n, ok := ParseMemberList(full.Body()); !ok || n != 2+MaxMemberSize*(1<<14-1) {
		t.Errorf("the fullest MemberList should be read whole, but %d bytes are (%v)", n, ok)
	}
}

// An address that is not proven yet is sent at most three times what it sent.
func TestAWelcomeIsWithinThreeHellos(t *testing.T) {
	hello := len(plainHello{From: shortest}.appendTo(Header{}.AppendTo(nil)))
	welcome := len(plainWelcome{From: longest, Observed: v6}.appendTo(Header{}.AppendTo(nil)))
	if welcome > 3*hello || MaxWelcomeSize > 3*hello {
		t.Errorf("a Welcome of %d bytes (%d at most) answers a Hello of %d, more than three times its size", welcome, MaxWelcomeSize, hello)
	}
}

func TestAMemberListFillsItsRoomToTheByte(t *testing.T) {
	for _, x := range []Member{shortest, {1, v4}, longest} {
		m := WriteList(nil, News)
		for i := range 5 {
			body := bytes.Clone(m.Body())
			room := HeaderSize + len(body) + len(x.AppendTo(nil))
			if m.Add(x, room-1) {
				t.Fatalf("member %d, %+v, was added though it lacks a byte of room", i, x)
			}
			if after := m.Body(); m.Len() != i || !bytes.Equal(after, body) {
				t.Fatalf("a MemberList that refused a member should stay %x, but is %x", body, after)
			}
			if !m.Add(x, room) {
				t.Fatalf("member %d, %+v, was refused though it fits to the byte", i, x)
			}
			if got := HeaderSize + len(m.Body()); got != room || m.Len() != i+1 {
				t.Fatalf("%d members should take %d bytes, but %d take %d", i+1, room, m.Len(), got)
			}
		}
	}
}

func TestAMemberListStartsAnew(t *testing.T) {
	used := WriteList(nil, News)
	used.Add(longest, math.MaxInt)
	m := WriteList(used.Body(), 0)
	if got := m.Body(); m.Len() != 0 || !bytes.Equal(got, []byte{0, 0}) {
		t.Errorf("a MemberList in the space of another should be empty and no news, but holds %d members: %x", m.Len(), got)
	}
}

func TestADigestFillsItsRoomToTheByte(t *testing.T) {
	runs := []Run{{First: 10, Last: 11}, {First: 13, Last: 13}}
	const record, run = 8 + 4 + 1, 2 + 2
	for _, c := range []struct {
		story string
		runs  []Run
		need  int
		fit   int // runs that fit into need bytes
		less  int // runs that fit into one byte less, -1 if not even the record does
	}{
		{"no runs", nil, record, 0, -1},
		{"one run", runs[:1], record + run, 1, -1},
		{"room for one of two runs", runs, record + run, 1, -1},
		{"two runs", runs, record + 2*run, 2, 1},
	} {
		for i := range 4 { // as record i of its digest
			var d Digest
			for k := range i {
				d.Add(uint64(k+1), 5, runs, math.MaxInt)
			}
			before := bytes.Clone(d.Bytes())
			less := d
			if ok := less.Add(9, 5, c.runs, len(before)+c.need-1); ok != (c.less >= 0) {
				t.Fatalf("%s, record %d: a byte too little should be answered %v, but is %v", c.story, i, c.less >= 0, ok)
			}
			if want := max(0, record+run*c.less); c.less < 0 && !bytes.Equal(less.Bytes(), before) {
				t.Fatalf("%s, record %d: a digest that refused a record should stay %x, but is %x", c.story, i, before, less.Bytes())
			} else if c.less >= 0 && len(less.Bytes()) != len(before)+want {
				t.Fatalf("%s, record %d: with a byte too little, %d runs should be left, but the digest is %x", c.story, i, c.less, less.Bytes())
			}
			if !d.Add(9, 5, c.runs, len(before)+c.need) {
				t.Fatalf("%s, record %d: it was refused though it fits to the byte", c.story, i)
			}
			if got := len(d.Bytes()); got != len(before)+record+run*c.fit || d.Len() != i+1 {
				t.Fatalf("%s, record %d: %d runs should be in it, but the digest is %x", c.story, i, c.fit, d.Bytes())
			}
		}
	}
}

// A run too far away or too long to be said ends its record: less is said, but
// nothing wrong.
func TestADigestSaysNothingThatDoesNotFitItsFields(t *testing.T) {
	near := Run{First: 10, Last: 10}
	for _, c := range []struct {
		story string
		run   Run
		said  bool
	}{
		{"the farthest gap", Run{First: 11 + 0xffff, Last: 11 + 0xffff}, true},
		{"one counter farther", Run{First: 12 + 0xffff, Last: 12 + 0xffff}, false},
		{"the longest run", Run{First: 12, Last: 11 + 0xffff}, true},
		{"one counter longer", Run{First: 12, Last: 12 + 0xffff}, false},
	} {
		p := plainStatus{Records: []plainRecord{{1, 5, []Run{near, c.run}}}}
		got, _, ok := parse(TypeStatus, p.appendTo(nil))
		if !ok {
			t.Errorf("%s: the Status was refused", c.story)
			continue
		}
		want := []Run{near}
		if c.said {
			want = append(want, c.run)
		}
		if runs := got.(plainStatus).Records[0].Runs; !slices.Equal(runs, want) {
			t.Errorf("%s: of %v and %v, %v should be said, but %v are", c.story, near, c.run, want, runs)
		}
	}
}

func TestADigestCountsNoFurtherThanItsFields(t *testing.T) {
	runs := make([]Run, 256)
	for i := range runs {
		runs[i] = Run{First: uint32(10 + 2*i), Last: uint32(10 + 2*i)}
	}
	many := plainStatus{Records: []plainRecord{{1, 5, runs}}}
	got, _, ok := parse(TypeStatus, many.appendTo(nil))
	if !ok || !slices.Equal(got.(plainStatus).Records[0].Runs, runs[:255]) {
		t.Errorf("of 256 runs the first 255 should be said, but it is %+v (%v)", got, ok)
	}

	var m Status
	for id := uint64(1); m.Digest.Add(id, 5, nil, math.MaxInt); id++ {
	}
	if _, _, ok := ParseStatus(m.AppendTo(nil)); m.Digest.Len() != math.MaxUint16 || !ok {
		t.Errorf("a Status should hold %d records, but holds %d (%v)", math.MaxUint16, m.Digest.Len(), ok)
	}
}

func TestOnlyNoClusterHasTagZero(t *testing.T) {
	if tag := ClusterTag(""); tag != 0 {
		t.Errorf("no cluster should have tag 0, but has %d", tag)
	}
	zeros := 0
	for i := range 1 << 18 {
		name := fmt.Sprint("cluster-", i)
		h := fnv.New32a()
		h.Write([]byte(name))
		want := uint16(h.Sum32()>>16) ^ uint16(h.Sum32())
		if want == 0 {
			zeros++
			want = 1
		}
		if tag := ClusterTag(name); tag != want {
			t.Fatalf("cluster %q should have tag %d, but has %d", name, want, tag)
		}
	}
	if zeros == 0 {
		t.Error("no name was tried whose hash folds to 0: this test shows nothing")
	}
}

func TestTheLargestDatagramIsThatOfIPv4(t *testing.T) {
	const ipv4, udp = 20, 8
	if MaxDatagram != math.MaxUint16-ipv4-udp {
		t.Errorf("UDP over IPv4 carries %d bytes, but MaxDatagram says %d", math.MaxUint16-ipv4-udp, MaxDatagram)
	}
}
