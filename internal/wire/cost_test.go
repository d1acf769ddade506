package wire

import (
	"fmt"
	"net/netip"
	"testing"
)

// A long-lived node appends into warm buffers and parses in place.
func TestNothingIsAllocated(t *testing.T) {
	hello := Hello{Version, 512, 1, longest, []byte("demo")}
	welcome := Welcome{1, 2, 512, longest, netip.AddrPort{}}
	data := Data{1, 2, FlagArc, 3, 4, 5, make([]byte, 1000)}
	acked := make([]AckRun, 100)
	records := plainStatus{Mark: 1, After: 9, Records: []plainRecord{{3, 5, []Run{{First: 9, Last: 9}}}, {7, 1, nil}}}
	status, _, _ := ParseStatus(records.appendTo(nil))
	var digest Digest
	room := make([]byte, 0, 4096)
	runs := make([]Run, 0, 255)

	for _, c := range []struct {
		what   string
		append func() []byte
		parse  func(b []byte) bool
	}{
		{"header", func() []byte { return Header{1, 2, 3}.AppendTo(room) },
			func(b []byte) bool { _, ok := ParseHeader(b); return ok }},
		{"Hello", func() []byte { return hello.AppendTo(room) },
			func(b []byte) bool { _, _, ok := ParseHello(b); return ok }},
		{"Welcome", func() []byte { return welcome.AppendTo(room) },
			func(b []byte) bool { _, _, ok := ParseWelcome(b); return ok }},
		{"MemberList", func() []byte {
			list := WriteList(room, News)
			list.Add(longest, 1000)
			list.Add(shortest, 1000)
			return list.Body()
		}, func(b []byte) bool {
			m, _, ok := ParseMemberList(b)
			for _, more := m.Next(); more; _, more = m.Next() {
			}
			return ok
		}},
		{"Ack", func() []byte { return AppendAck(room, acked, true) }, func(b []byte) bool {
			m, _, ok := ParseAck(b)
			for seq := range m.Numbers() {
				ok = ok && seq == 0
			}
			return ok
		}},
		{"Data", func() []byte { return data.AppendTo(room) },
			func(b []byte) bool { _, _, ok := ParseData(b); return ok }},
		{"Status", func() []byte { return status.AppendTo(room) }, func(b []byte) bool {
			m, _, ok := ParseStatus(b)
			for more := true; more; {
				_, _, runs, more = m.Digest.Next(runs)
			}
			return ok
		}},
		{"Status with a digest of its own", func() []byte {
			digest.Reset()
			digest.Add(3, 5, []Run{{First: 9, Last: 9}}, 1000)
			return Status{Offer, 1, 9, digest}.AppendTo(room)
		}, func(b []byte) bool { _, _, ok := ParseStatus(b); return ok }},
		{"Leave", func() []byte { return AppendLeave(room, 1) },
			func(b []byte) bool { _, _, ok := ParseLeave(b); return ok }},
	} {
		var b []byte
		if n := testing.AllocsPerRun(100, func() { b = c.append() }); n != 0 {
			t.Errorf("appending a %s into a buffer with room allocates %v times", c.what, n)
		}
		ok := true
		if n := testing.AllocsPerRun(100, func() { ok = ok && c.parse(b) }); n != 0 || !ok {
			t.Errorf("parsing a %s allocates %v times (accepted: %v)", c.what, n, ok)
		}
	}
}

// What is parsed is kept, so that the compiler cannot leave the parsing out.
var (
	keepHeader Header
	keepData   Data
)

func BenchmarkHeader(b *testing.B) {
	room := make([]byte, 0, HeaderSize)
	sent := Header{TypeData, 2, 3}.AppendTo(nil)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			room = Header{TypeData, 2, 3}.AppendTo(room[:0])
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			keepHeader, _ = ParseHeader(sent)
		}
	})
}

func BenchmarkData(b *testing.B) {
	for _, payload := range []int{0, 100, 1200} {
		m := Data{1, 2, FlagArc, 3, 4, 5, make([]byte, payload)}
		sent := m.AppendTo(nil)
		room := make([]byte, 0, len(sent))
		b.Run(fmt.Sprintf("append/%d", payload), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				room = m.AppendTo(room[:0])
			}
		})
		b.Run(fmt.Sprintf("parse/%d", payload), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				keepData, _, _ = ParseData(sent)
			}
		})
	}
}
