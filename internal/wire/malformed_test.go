package wire

import (
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// Each bad body differs from a good one in what the story tells, nothing else.
func TestMalformedMessagesAreRefused(t *testing.T) {
	for _, c := range []struct {
		story     string
		kind      Type
		good, bad string
	}{
		{
			"the member has id 0", TypeHello,
			`0001 | 0200 | 0000000000000000 | 0000000000000001 00 0000 | 00`,
			`0001 | 0200 | 0000000000000000 | 0000000000000000 00 0000 | 00`,
		}, {
			"the address is 5 bytes long", TypeHello,
			`0001 | 0200 | 0000000000000000 | 0000000000000001 04 c0000201 1b9e | 00 00`,
			`0001 | 0200 | 0000000000000000 | 0000000000000001 05 c000020100 1b9e | 00`,
		}, {
			"the cluster is not UTF-8", TypeHello,
			`0001 | 0200 | 0000000000000000 | 0000000000000001 00 0000 | 02 c3a4`,
			`0001 | 0200 | 0000000000000000 | 0000000000000001 00 0000 | 02 c328`,
		}, {
			"the cluster ends within a character", TypeHello,
			`0001 | 0200 | 0000000000000000 | 0000000000000001 00 0000 | 02 c3a4`,
			`0001 | 0200 | 0000000000000000 | 0000000000000001 00 0000 | 01 c3a4`,
		}, {
			"the member has id 0", TypeWelcome,
			`00000000 | 0000000000000000 | 0200 | 0000000000000001 00 0000 | 00 0000`,
			`00000000 | 0000000000000000 | 0200 | 0000000000000000 00 0000 | 00 0000`,
		}, {
			"the observed address is 5 bytes long", TypeWelcome,
			`00000000 | 0000000000000000 | 0200 | 0000000000000001 00 0000 | 04 c0000201 1b9e`,
			`00000000 | 0000000000000000 | 0200 | 0000000000000001 00 0000 | 05 c000020100 1b9e`,
		}, {
			"the second member has id 0", TypeMemberList,
			`0002 | 0000000000000001 00 0000 | 0000000000000001 00 0000`,
			`0002 | 0000000000000001 00 0000 | 0000000000000000 00 0000`,
		}, {
			"it counts one member too many", TypeMemberList,
			`8001 | 0000000000000001 00 0000`,
			`8002 | 0000000000000001 00 0000`,
		}, {
			"members are new and lost at once", TypeMemberList,
			`4001 | 0000000000000001 00 0000`,
			`c001 | 0000000000000001 00 0000`,
		}, {
			"it counts one run too many", TypeAck,
			`0001 | 00000000 00`,
			`0002 | 00000000 00`,
		}, {
			"it refuses one run too many", TypeAck,
			`8001 | 00000000 00`,
			`8002 | 00000000 00`,
		}, {
			"it holds one number more than MostAcked", TypeAck,
			`0009` + strings.Repeat(`00000000 ff`, 7) + `00000000 fe 00000000 00`,
			`0009` + strings.Repeat(`00000000 ff`, 8) + `00000000 00`,
		}, {
			"the origin is 0", TypeData,
			`0000000000000001 | 00000001 | 00 | 00 | 0000`,
			`0000000000000000 | 00000001 | 00 | 00 | 0000`,
		}, {
			"the counter is 0", TypeData,
			`0000000000000001 | 00000001 | 00 | 00 | 0000`,
			`0000000000000001 | 00000000 | 00 | 00 | 0000`,
		}, {
			"the payload is shorter than it says", TypeData,
			`0000000000000001 | 00000001 | 00 | 00 | 0001 | 61`,
			`0000000000000001 | 00000001 | 00 | 00 | 0002 | 61`,
		}, {
			"there is an arc in place of the payload", TypeData,
			`0000000000000001 | 00000001 | 00 | 00 | 0008 | 0000000000000000`,
			`0000000000000001 | 00000001 | 01 | 00 | 0008 | 0000000000000000`,
		}, {
			"the mode is not known", TypeStatus,
			`02 | 0000000000000000 | ffffffffffffffff | 0000`,
			`05 | 0000000000000000 | ffffffffffffffff | 0000`,
		}, {
			"the origin is 0", TypeStatus,
			`00 | 0000000000000000 | ffffffffffffffff | 0001 | 0000000000000001 00000000 00`,
			`00 | 0000000000000000 | ffffffffffffffff | 0001 | 0000000000000000 00000000 00`,
		}, {
			"a run is empty", TypeStatus,
			`00 | 0000000000000000 | ffffffffffffffff | 0001 | 0000000000000001 00000000 01 0001 0001`,
			`00 | 0000000000000000 | ffffffffffffffff | 0001 | 0000000000000001 00000000 01 0001 0000`,
		}, {
			"a run passes the last counter", TypeStatus,
			`00 | 0000000000000000 | ffffffffffffffff | 0001 | 0000000000000001 fffffff0 01 0000 000f`,
			`00 | 0000000000000000 | ffffffffffffffff | 0001 | 0000000000000001 fffffff0 01 0000 0010`,
		}, {
			"a gap passes the last counter", TypeStatus,
			`00 | 0000000000000000 | ffffffffffffffff | 0001 | 0000000000000001 fffffff0 02 0001 0001 000c 0001`,
			`00 | 0000000000000000 | ffffffffffffffff | 0001 | 0000000000000001 fffffff0 02 0001 0001 ffff 0001`,
		}, {
			"nobody is named", TypeLeave,
			`0000000000000001`,
			`0000000000000000`,
		},
	} {
		if _, _, ok := parse(c.kind, unhex(t, c.good)); !ok {
			t.Errorf("%v: %s should be accepted, for it is not so that %s", c.kind, c.good, c.story)
		}
		if got, _, ok := parse(c.kind, unhex(t, c.bad)); ok {
			t.Errorf("%v: %s should be refused, for %s, but is read as %+v", c.kind, c.bad, c.story, got)
		}
	}
}

func TestAddressesHaveOneOfThreeLengths(t *testing.T) {
	for length := range 256 {
		b := make([]byte, 8+1+255+2) // plenty for any length
		b[0], b[8] = 1, byte(length)
		legal := length == 0 || length == 4 || length == 16
		if _, n, ok := ParseMember(b); ok != legal || ok && n != 8+1+length+2 {
			t.Errorf("a member whose address has %d bytes: ok should be %v, but is %v with %d bytes taken", length, legal, ok, n)
		}
	}
}

// Sockets that take both families hand out IPv4 addresses as IPv6 ones. They
// would make one node look like two.
func TestMappedAddressesAreUnmapped(t *testing.T) {
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:7070")
	b := plainWelcome{From: Member{1, mapped}, Observed: mapped}.appendTo(nil)
	want := plainWelcome{From: Member{1, v4}, Observed: v4}
	if got, n, ok := parse(TypeWelcome, b); got != want || n != len(b) || !ok {
		t.Errorf("a Welcome with %v should be read as %+v, but is %+v (%d bytes, %v)", mapped, want, got, n, ok)
	}
	list := plainList{Members: []Member{{1, mapped}}}.appendTo(nil)
	unmapped := plainList{Members: []Member{{1, v4}}}
	if got, _, ok := parse(TypeMemberList, list); !ok || !reflect.DeepEqual(got, unmapped) {
		t.Errorf("a MemberList with %v should be read as %+v, but is %+v (%v)", mapped, unmapped, got, ok)
	}
}

// Zones name an interface of one machine and mean nothing to another.
func TestZonesAndPortsWithoutAddressStayAtHome(t *testing.T) {
	for sent, want := range map[netip.AddrPort]netip.AddrPort{
		netip.MustParseAddrPort("[fe80::1%eth0]:7070"): netip.MustParseAddrPort("[fe80::1]:7070"),
		netip.AddrPortFrom(netip.Addr{}, 7070):         {},
	} {
		if got, _, ok := ParseMember(Member{1, sent}.AppendTo(nil)); !ok || got.Addr != want {
			t.Errorf("%v should arrive as %v, but arrives as %v (%v)", sent, want, got.Addr, ok)
		}
	}
}

func TestUnknownFlagsArePassedOver(t *testing.T) {
	for flags := range 256 {
		p := plainData{Origin: 1, Counter: math.MaxUint32, Flags: uint8(flags), Payload: "hello"}
		if p.Flags&FlagArc != 0 {
			p.Lo, p.Hi = 1, 2
		}
		b := p.appendTo(nil)
		if got, n, ok := parse(TypeData, b); got != p || n != len(b) || !ok {
			t.Errorf("Data with flags %08b should be read as %+v, but is %+v (%d of %d bytes, %v)", flags, p, got, n, len(b), ok)
		}
	}
}
