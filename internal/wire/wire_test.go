package wire

import (
	"bytes"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
)

var (
	v4 = netip.MustParseAddrPort("192.0.2.1:7070")
	v6 = netip.MustParseAddrPort("[2001:db8::1]:65535")
)

// golden messages, each as one would write it down from the layouts: a header
// with tag beef and sequence number 01020304, and a body.
var golden = []struct {
	name string
	says plain
	hex  string
}{
	{
		"Hello of a node at an IPv4 address",
		plainHello{1, 512, 0x1112131415161718, Member{0x2122232425262728, v4}, "demo"},
		`0001 beef 01020304 | 0001 | 0200 | 1112131415161718 | 2122232425262728 04 c0000201 1b9e | 04 64656d6f`,
	}, {
		"Hello of a node at an IPv6 address in a cluster that is not ASCII",
		plainHello{258, 65507, 1, Member{2, v6}, "ä"},
		`0001 beef 01020304 | 0102 | ffe3 | 0000000000000001
			| 0000000000000002 10 20010db8000000000000000000000001 ffff | 02 c3a4`,
	}, {
		"Hello that says as little as it can",
		plainHello{From: Member{ID: 1}},
		`0001 beef 01020304 | 0000 | 0000 | 0000000000000000 | 0000000000000001 00 0000 | 00`,
	}, {
		"Welcome",
		plainWelcome{0x0a0b0c0d, 0x1112131415161718, 1400, Member{0x2122232425262728, v6}, v4},
		`0002 beef 01020304 | 0a0b0c0d | 1112131415161718 | 0578
			| 2122232425262728 10 20010db8000000000000000000000001 ffff | 04 c0000201 1b9e`,
	}, {
		"MemberList with news",
		plainList{true, false, []Member{{1, v4}, {math.MaxUint64, v6}, {3, netip.AddrPort{}}}},
		`0003 beef 01020304 | 8003 | 0000000000000001 04 c0000201 1b9e
			| ffffffffffffffff 10 20010db8000000000000000000000001 ffff | 0000000000000003 00 0000`,
	}, {
		"MemberList of a lost member",
		plainList{Lost: true, Members: []Member{{1, v4}}},
		`0003 beef 01020304 | 4001 | 0000000000000001 04 c0000201 1b9e`,
	}, {
		"MemberList that is one node's empty view",
		plainList{},
		`0003 beef 01020304 | 0000`,
	}, {
		"Ack",
		plainAck{false, []AckRun{{0x0a0b0c0d, 0}, {0xffffff00, 255}}},
		`0004 beef 01020304 | 0002 | 0a0b0c0d 00 ffffff00 ff`,
	}, {
		"Ack that refuses three messages",
		plainAck{true, []AckRun{{0x0a0b0c0d, 2}}},
		`0004 beef 01020304 | 8001 | 0a0b0c0d 02`,
	}, {
		"Ack of nothing",
		plainAck{},
		`0004 beef 01020304 | 0000`,
	}, {
		"Data without an arc",
		plainData{Origin: 0x1112131415161718, Counter: 0x21222324, Flags: FlagDirect, Hops: 3, Payload: "hello"},
		`0005 beef 01020304 | 1112131415161718 | 21222324 | 40 | 03 | 0005 | 68656c6c6f`,
	}, {
		"Data with an arc across the top of the ring",
		plainData{1, 2, FlagArc | FlagNoOut, 255, 0xf0000000, 0x10, "hi"},
		`0005 beef 01020304 | 0000000000000001 | 00000002 | 09 | ff | 0002 | f0000000 00000010 | 6869`,
	}, {
		"Data with every flag and no payload",
		plainData{1, 2, FlagArc | FlagNoOut | FlagPull | FlagRumor | FlagDirect, 0, 3, 4, ""},
		`0005 beef 01020304 | 0000000000000001 | 00000002 | 79 | 00 | 0000 | 00000003 00000004 |`,
	}, {
		"Status, full, of two origins: one lacks 101, 102 and 105 to 109, the other nothing",
		plainStatus{Full, 0, math.MaxUint64, []plainRecord{
			{0x1112131415161718, 100, []Run{{First: 103, Last: 104}, {First: 110, Last: 110}}},
			{0x2122232425262728, 0xffffffff, nil},
		}},
		`0006 beef 01020304 | 00 | 0000000000000000 | ffffffffffffffff | 0002
			| 1112131415161718 00000064 02 0002 0002 0005 0001 | 2122232425262728 ffffffff 00`,
	}, {
		"Status that offers a run which touches the floor",
		plainStatus{Offer, 5, 7, []plainRecord{{6, 8, []Run{{First: 9, Last: 9}}}}},
		`0006 beef 01020304 | 01 | 0000000000000005 | 0000000000000007 | 0001 | 0000000000000006 00000008 01 0000 0001`,
	}, {
		"Status that requests nothing",
		plainStatus{Mode: Request, Mark: 5, After: 7},
		`0006 beef 01020304 | 02 | 0000000000000005 | 0000000000000007 | 0000 |`,
	}, {
		"Leave",
		plainLeave(0x1112131415161718),
		`0007 beef 01020304 | 1112131415161718`,
	},
}

var goldenHeader = Header{Tag: 0xbeef, Seq: 0x01020304}

func TestMessagesLookAsTheyAreDrawn(t *testing.T) {
	for _, g := range golden {
		want := unhex(t, g.hex)
		h := goldenHeader
		h.Type = g.says.kind()
		if got := g.says.appendTo(h.AppendTo(nil)); !bytes.Equal(got, want) {
			t.Errorf("%s: appended as\n\t%x, but laid out as\n\t%x", g.name, got, want)
		}
		if got, ok := ParseHeader(want); got != h || !ok {
			t.Errorf("%s: its header should be read as %+v, but is %+v (%v)", g.name, h, got, ok)
		}
		body := want[HeaderSize:]
		if got, n, ok := parse(h.Type, body); !ok || n != len(body) || !reflect.DeepEqual(got, g.says) {
			t.Errorf("%s: %d bytes should be read as\n\t%+v, but %d are (%v), as\n\t%+v", g.name, len(body), g.says, n, ok, got)
		}
	}
}

func TestTypesHaveTheirNames(t *testing.T) {
	for _, g := range golden {
		name := g.says.kind().String()
		if len(g.name) < len(name) || g.name[:len(name)] != name {
			t.Errorf("the type of %q calls itself %q", g.name, name)
		}
	}
	for _, kind := range []Type{0, Types, math.MaxUint16} {
		if kind.String() != "Unknown" {
			t.Errorf("type %d is not known, but calls itself %q", kind, kind)
		}
	}
}

// Bytes before a body are left alone, bytes behind it are not looked at.
func TestMessagesSurviveTheTrip(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := random(r)
		before, behind := randomBytes(r, r.IntN(20)), randomBytes(r, r.IntN(300))

		b := p.appendTo(bytes.Clone(before))
		size := len(b) - len(before)
		if !bytes.HasPrefix(b, before) {
			t.Fatalf("seed %d: appending a %v changed the bytes before it", seed, p.kind())
		}
		got, n, ok := parse(p.kind(), append(b[len(before):], behind...))
		switch {
		case !ok:
			t.Fatalf("seed %d: a legal %v was refused: %+v", seed, p.kind(), p)
		case n != size:
			t.Fatalf("seed %d: a %v has %d bytes and %d stray ones behind, but %d were taken", seed, p.kind(), size, len(behind), n)
		case !reflect.DeepEqual(got, p):
			t.Fatalf("seed %d: sent\n\t%+v, but received\n\t%+v", seed, p, got)
		}
	}
}

func TestMessagesBackToBackAreReadOneAfterAnother(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		var sent []plain
		var headers []Header
		var b []byte
		for range 1 + r.IntN(30) {
			p := random(r)
			h := Header{p.kind(), uint16(r.Uint32()), r.Uint32()}
			sent, headers = append(sent, p), append(headers, h)
			b = p.appendTo(h.AppendTo(b))
		}
		for i, p := range sent {
			h, ok := ParseHeader(b)
			if !ok || h != headers[i] {
				t.Fatalf("seed %d: header %d of %d should be %+v, but is %+v (%v)", seed, i, len(sent), headers[i], h, ok)
			}
			got, n, ok := parse(h.Type, b[HeaderSize:])
			if !ok || !reflect.DeepEqual(got, p) {
				t.Fatalf("seed %d: message %d of %d should be\n\t%+v, but is (%v)\n\t%+v", seed, i, len(sent), p, ok, got)
			}
			b = b[HeaderSize+n:]
		}
		if len(b) > 0 {
			t.Fatalf("seed %d: %d bytes remain behind the last message", seed, len(b))
		}
	}
}

// The capacity is cut as well: reading beyond the end panics, even by reslicing.
func TestMessagesCutShortAreRefused(t *testing.T) {
	refused := func(p plain, story string, seed uint64) {
		b := p.appendTo(nil)
		for i := range b {
			if _, n, ok := parse(p.kind(), b[:i:i]); ok {
				t.Fatalf("%s, seed %d: %d of the %d bytes of a %v are no message, but %d of them were accepted", story, seed, i, len(b), p.kind(), n)
			}
		}
	}
	for _, g := range golden {
		refused(g.says, g.name, 0)
	}
	for seed := range uint64(500) {
		refused(random(rand.New(rand.NewPCG(seed, 3))), "random message", seed)
	}
	header := goldenHeader.AppendTo(nil)
	for i := range header {
		if _, ok := ParseHeader(header[:i:i]); ok {
			t.Errorf("%d of the %d bytes of a header are none, but were accepted", i, len(header))
		}
	}
}

// What was parsed holds its own bytes and none of those behind them.
func TestWhatWasParsedIsSentOnAsItCame(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 4))
		p := random(r)
		b := p.appendTo(nil)
		behind := append(bytes.Clone(b), randomBytes(r, r.IntN(50))...)
		var again []byte
		switch p.kind() {
		case TypeStatus:
			m, _, _ := ParseStatus(behind)
			again = m.AppendTo(nil)
		default: // these are rebuilt field by field wherever they are sent
			continue
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("seed %d: a %v came as\n\t%x, but would be sent on as\n\t%x", seed, p.kind(), b, again)
		}
	}
}

func TestPayloadsAndNamesAreNotCopied(t *testing.T) {
	b := plainData{Origin: 1, Counter: 1, Payload: "a"}.appendTo(nil)
	if m, n, _ := ParseData(b); &m.Payload[0] != &b[n-1] {
		t.Error("the payload of a Data was copied instead of pointing into the datagram")
	}
	b = plainHello{From: Member{ID: 1}, Cluster: "a"}.appendTo(nil)
	if m, n, _ := ParseHello(b); &m.Cluster[0] != &b[n-1] {
		t.Error("the cluster of a Hello was copied instead of pointing into the datagram")
	}
}
