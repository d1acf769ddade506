package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"reflect"
	"testing"
	"unicode/utf8"
)

// FuzzDatagram reads any bytes as a node reads a datagram. What it accepts it
// would send as it came, apart from addresses: see canonical.
func FuzzDatagram(f *testing.F) {
	var all []byte
	for _, g := range golden {
		b := unhex(f, g.hex)
		f.Add(b)
		all = append(all, b...)
	}
	f.Add(all)
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:7070")
	f.Add(plainWelcome{From: Member{1, mapped}, Observed: mapped}.appendTo(Header{Type: TypeWelcome}.AppendTo(nil)))
	f.Add(unhex(f, `0003 0000 00000000 | 0001 | 0000000000000001 00 1b9e`))

	f.Fuzz(func(t *testing.T, datagram []byte) {
		before := bytes.Clone(datagram)
		for b := datagram; ; {
			h, ok := ParseHeader(b)
			if !ok {
				break
			}
			if again := h.AppendTo(nil); !bytes.Equal(again, b[:HeaderSize]) {
				t.Fatalf("the header %x was read as %+v, which is sent as %x", b[:HeaderSize], h, again)
			}
			b = b[HeaderSize:]
			p, n, ok := parse(h.Type, b)
			if !ok {
				break
			}
			if n < 2 || n > len(b) {
				t.Fatalf("a %v claims to have taken %d of %d bytes", h.Type, n, len(b))
			}
			if again, want := p.appendTo(nil), canonical(h.Type, b[:n]); !bytes.Equal(again, want) {
				t.Fatalf("the %v\n\t%x was read as\n\t%+v, which should be sent as\n\t%x, but is as\n\t%x", h.Type, b[:n], p, want, again)
			}
			b = b[n:]
		}
		if !bytes.Equal(datagram, before) {
			t.Fatalf("reading changed the datagram from %x to %x", before, datagram)
		}
	})
}

// canonical returns a legal body with its addresses as a node sends them: in
// four bytes if they are IPv4-mapped, and with port 0 if there are none. All
// other bytes have just one form.
func canonical(kind Type, b []byte) (out []byte) {
	take := func(n int) { out, b = append(out, b[:n]...), b[n:] }
	address := func() {
		n := 1 + int(b[0]) + 2
		switch ip, _ := netip.AddrFromSlice(b[1 : n-2]); {
		case ip.Is4In6():
			out = append(append(out, 4), b[13:n]...)
		case n == 3:
			out = append(out, 0, 0, 0)
		default:
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	switch kind {
	case TypeHello:
		take(2 + 2 + 8 + 8)
		address()
	case TypeWelcome:
		take(4 + 8 + 2 + 8)
		address()
		address()
	case TypeMemberList:
		take(2)
		for len(b) > 0 {
			take(8)
			address()
		}
	}
	return append(out, b...)
}

// FuzzRoundTrip sends what a node could be made to say. Legal values arrive as
// they were sent, others are refused.
func FuzzRoundTrip(f *testing.F) {
	for kind := uint8(0); kind < 7; kind++ {
		f.Add(kind, uint64(1), uint64(2), uint32(3), uint8(kind), uint8(5), []byte{192, 0, 2, 1}, uint16(7070), []byte("some text to be cut up"))
	}
	f.Add(uint8(0), uint64(1), uint64(2), uint32(3), uint8(0), uint8(5), bytes.Repeat([]byte{255}, 16), uint16(1), []byte("\xc3("))
	f.Add(uint8(3), uint64(1), uint64(2), uint32(3), uint8(1), uint8(5), []byte(nil), uint16(1), bytes.Repeat([]byte("1234\xff"), MostAcked/256+1))
	f.Add(uint8(5), uint64(1), uint64(2), uint32(math.MaxUint32-9), uint8(3), uint8(5), []byte(nil), uint16(1), []byte("\x00\x01\x00\x02"))

	f.Fuzz(func(t *testing.T, kind uint8, id, other uint64, n uint32, flags, hops uint8, ip []byte, port uint16, more []byte) {
		addr, _ := netip.AddrFromSlice(ip)
		sent := build(kind, id, other, n, flags, hops, netip.AddrPortFrom(addr, port), more)
		want := sent
		if addr = addr.Unmap(); addr.IsValid() {
			want = build(kind, id, other, n, flags, hops, netip.AddrPortFrom(addr, port), more)
		} else {
			want = build(kind, id, other, n, flags, hops, netip.AddrPort{}, more)
		}

		b := sent.appendTo(nil)
		got, size, ok := parse(sent.kind(), append(b[:len(b):len(b)], more...))
		switch {
		case ok != legal(sent):
			t.Fatalf("that %v %+v is legal should be %v, but is %v", sent.kind(), sent, legal(sent), ok)
		case ok && size != len(b):
			t.Fatalf("%v %+v has %d bytes, but %d were taken", sent.kind(), sent, len(b), size)
		case ok && !reflect.DeepEqual(got, want):
			t.Fatalf("%v should arrive as\n\t%+v, but arrives as\n\t%+v", sent.kind(), want, got)
		}
	})
}

// build makes up a message that any node could send, if not a legal one.
func build(kind uint8, id, other uint64, n uint32, flags, hops uint8, addr netip.AddrPort, more []byte) plain {
	switch kind % 7 {
	case 0:
		return plainHello{uint16(n), uint16(n >> 16), other, Member{id, addr}, text(more[:min(len(more), 255)])}
	case 1:
		return plainWelcome{n, other, uint16(n), Member{id, addr}, addr}
	case 2:
		p := plainList{News: flags&3 == 1, Lost: flags&3 == 2}
		for _, c := range more {
			m := Member{ID: id + uint64(c)}
			if c%2 == 0 {
				m.Addr = addr
			}
			p.Members = append(p.Members, m)
		}
		return p
	case 3:
		p := plainAck{Refused: flags&1 != 0}
		for ; len(more) >= AckSize; more = more[AckSize:] {
			p.Runs = append(p.Runs, AckRun{binary.LittleEndian.Uint32(more), more[4]})
		}
		return p
	case 4:
		p := plainData{Origin: id, Counter: n, Flags: flags, Hops: hops, Payload: text(more[:min(len(more), math.MaxUint16)])}
		if flags&FlagArc != 0 {
			p.Lo, p.Hi = uint32(other), uint32(other>>32)
		}
		return p
	case 5:
		p := plainStatus{Mode: Mode(flags), Mark: id, After: other}
		p.Records = []plainRecord{{Origin: id, Floor: n}, {id + uint64(hops), n, nil}}
		for end := uint64(n); len(more) >= 4 && len(p.Records[1].Runs) < 255; more = more[4:] {
			first := end + 1 + uint64(binary.LittleEndian.Uint16(more))
			if end = first + uint64(binary.LittleEndian.Uint16(more[2:])&0x7fff); end > math.MaxUint32 {
				break
			}
			p.Records[1].Runs = append(p.Records[1].Runs, Run{First: uint32(first), Last: uint32(end)})
		}
		return p
	default:
		return plainLeave(id)
	}
}

// legal tells whether a node may say p.
func legal(p plain) bool {
	switch p := p.(type) {
	case plainHello:
		return p.From.ID != 0 && utf8.ValidString(string(p.Cluster))
	case plainWelcome:
		return p.From.ID != 0
	case plainList:
		for _, m := range p.Members {
			if m.ID == 0 {
				return false
			}
		}
	case plainAck:
		return p.numbers() <= MostAcked
	case plainData:
		return p.Origin != 0 && p.Counter != 0
	case plainStatus:
		a, b := p.Records[0].Origin, p.Records[1].Origin
		return p.Mode < modes && a > 0 && b > 0
	case plainLeave:
		return p != 0
	}
	return true
}
