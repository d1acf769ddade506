package transport

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// exchange sends a datagram from a to dest, where b listens, and back to the
// sender that b was told.
func exchange(t *testing.T, a, b *Conn, dest netip.AddrPort) (from netip.AddrPort) {
	t.Helper()
	send(t, a, []byte("ping"), dest)
	r := receive(b, patience)
	wantData(t, r, "ping", "of "+dest.String())
	send(t, b, []byte("pong"), r.from)
	wantData(t, receive(a, patience), "pong", "of the answer to "+r.from.String())
	return r.from
}

// listen6 skips the test where there is no IPv6.
func listen6(t *testing.T, addr string) *Conn {
	t.Helper()
	c, err := Listen(netip.MustParseAddrPort(addr), 0)
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// hidden makes the same socket be read through its PacketConn methods.
func hidden(t *testing.T, c *Conn) *Conn {
	return wrap(t, foreign{c.pc})
}

func TestIPv6Loopback(t *testing.T) {
	a, b := listen6(t, "[::1]:0"), listen6(t, "[::1]:0")
	for _, b := range []*Conn{b, hidden(t, b)} {
		if from := exchange(t, a, b, b.LocalAddr()); from != a.LocalAddr() {
			t.Fatalf("the sender is said to be %v, but it was %v", from, a.LocalAddr())
		}
	}
}

func TestDualStackSocketSpeaksBothFamilies(t *testing.T) {
	dual := listen6(t, "[::]:0")
	port := dual.LocalAddr().Port()
	for _, dual := range []*Conn{dual, hidden(t, dual)} {
		four, six := listen(t, "127.0.0.1:0"), listen6(t, "[::1]:0")
		to4 := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
		if from := exchange(t, four, dual, to4); from != four.LocalAddr() {
			t.Fatalf("the IPv4 sender is said to be %v, but it was %v", from, four.LocalAddr())
		}
		to6 := netip.AddrPortFrom(netip.IPv6Loopback(), port)
		if from := exchange(t, six, dual, to6); from != six.LocalAddr() {
			t.Fatalf("the IPv6 sender is said to be %v, but it was %v", from, six.LocalAddr())
		}
	}
}

func TestMappedAddressMeansIPv4(t *testing.T) {
	c := listen(t, "[::ffff:127.0.0.1]:0")
	if !c.LocalAddr().Addr().Is4() {
		t.Fatalf("a socket on a mapped IPv4 address has the address %v", c.LocalAddr())
	}
	mapped := netip.AddrPortFrom(netip.AddrFrom16(c.LocalAddr().Addr().As16()), c.LocalAddr().Port())
	for _, c := range []*Conn{c, hidden(t, c)} {
		if from := exchange(t, c, c, mapped); from != c.LocalAddr() {
			t.Fatalf("the sender is said to be %v, but it was %v", from, c.LocalAddr())
		}
	}
}

func TestLinkLocalSenderHasItsZone(t *testing.T) {
	addr, ok := linkLocal(t)
	if !ok {
		t.Skip("no interface with a link-local address here")
	}
	a := listen6(t, netip.AddrPortFrom(addr, 0).String())
	b := listen6(t, netip.AddrPortFrom(addr, 0).String())
	if a.LocalAddr().Addr() != addr {
		t.Fatalf("a socket on %v has the address %v", addr, a.LocalAddr())
	}
	for _, b := range []*Conn{b, hidden(t, b)} {
		if from := exchange(t, a, b, b.LocalAddr()); from != a.LocalAddr() {
			t.Fatalf("the sender is said to be %v, but it was %v", from, a.LocalAddr())
		}
	}
}

func linkLocal(t *testing.T) (netip.Addr, bool) {
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Skipf("the interfaces cannot be listed: %v", err)
	}
	for _, ifi := range interfaces {
		addrs, err := ifi.Addrs()
		if err != nil || ifi.Flags&net.FlagUp == 0 {
			continue
		}
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if err == nil && prefix.Addr().Is6() && prefix.Addr().IsLinkLocalUnicast() {
				return prefix.Addr().WithZone(ifi.Name), true
			}
		}
	}
	return netip.Addr{}, false
}

// elsewhere is a PacketConn with an address type of its own.
type elsewhere struct {
	foreign
	addr address
}

type address string

func (a address) Network() string { return "elsewhere" }
func (a address) String() string  { return string(a) }

func (e elsewhere) LocalAddr() net.Addr { return e.addr }

func TestAddressOfAnotherTypeIsParsed(t *testing.T) {
	for text, want := range map[address]netip.AddrPort{
		"10.1.2.3:77":          netip.MustParseAddrPort("10.1.2.3:77"),
		"[::ffff:10.1.2.3]:77": netip.MustParseAddrPort("10.1.2.3:77"),
		"[fe80::1%eth0]:77":    netip.MustParseAddrPort("[fe80::1%eth0]:77"),
	} {
		c := wrap(t, elsewhere{foreign{udp4(t)}, text})
		if got := c.LocalAddr(); got != want {
			t.Errorf("the address %q became %v, not %v", text, got, want)
		}
	}
}

// Others could not answer a node that is nowhere.
func TestAddressThatIsNoneIsRefused(t *testing.T) {
	for _, text := range []address{"", "node-1", "/var/run/gossip.socket"} {
		if _, err := Wrap(elsewhere{foreign{udp4(t)}, text}, 0); !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), string(text)) {
			t.Errorf("a PacketConn at %q was wrapped with the error %v", text, err)
		}
	}
}
