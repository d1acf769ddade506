package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"example.com/gossip/internal/wire"
)

const (
	// maxQuoted is how many bytes of a refused text an error repeats: enough to
	// recognise it, and no more, because the text may come from anywhere.
	maxQuoted = 64

	// maxZone is the longest zone accepted, in bytes, so that text cannot make an
	// Address of any size. Interface names are far shorter: 15 bytes on Linux.
	maxZone = 255
)

// Reasons for which a text is not an address.
var (
	errAddressEmpty     = errors.New("it is empty")
	errAddressMultiaddr = errors.New("it must have the form /ip4/127.0.0.1/udp/7070, /ip6/::1/udp/7070, /ip6zone/eth0/ip6/fe80::1/udp/7070 or /ip/127.0.0.1/port/7070")
	errAddressNoIP      = errors.New("an IP address is needed, e.g. 0.0.0.0:7070 or [::]:7070")
	errAddressName      = errors.New("the library takes addresses, not names: resolve the host name first")
	errAddressIP        = errors.New("not an IP address")
	errAddressNotIPv4   = errors.New("not an IPv4 address")
	errAddressNotIPv6   = errors.New("not an IPv6 address")
	errAddressBrackets  = errors.New("an IPv6 address goes in square brackets, followed by its port, e.g. [2001:db8::1]:7070")
	errAddressBracketed = errors.New("only an IPv6 address goes in square brackets")
	errAddressUnclosed  = errors.New("the closing square bracket is missing")
	errAddressTrailing  = errors.New("a colon and the port must follow the closing square bracket")
	errAddressNoPort    = errors.New("port is missing")
	errAddressPort      = errors.New("port must be a decimal number from 0 to 65535, without a sign or leading zeros")
	errAddressZoneIPv4  = errors.New("an IPv4 address has no zone")
	errAddressZone      = errors.New("the zone must be 1 to 255 bytes of printable text without any of / % [ ]")
	errAddressZonePlace = errors.New("in a multiaddr the zone comes first: /ip6zone/eth0/ip6/fe80::1/udp/7070")
)

// Address is the IP address and UDP port of a node. It is a small value: copy
// it, compare it with ==, use it as a map key.
//
// An IPv4 address has a single representation: the IPv4-mapped IPv6 address
// ::ffff:192.0.2.1 is the Address 192.0.2.1. An IPv6 address may have a zone,
// the name or number of a network interface, which is part of the value.
//
// The zero value is no address; its IsValid reports false.
type Address struct {
	ap netip.AddrPort
}

// ParseAddress reads an IP address and a port, such as "192.0.2.1:7070",
// "[2001:db8::1]:7070" or, with a zone, "[fe80::1%eth0]:7070". The port is a
// number from 0 to 65535 without leading zeros; when binding, 0 lets the system
// choose one. Neither part may be left out.
//
// Host names are not resolved, because one name may stand for many addresses,
// or for others tomorrow: resolve the name and give an address.
//
// The error wraps ErrAddress.
func ParseAddress(s string) (Address, error) {
	ap, err := parseHostPort(s)
	if err != nil {
		return Address{}, badAddress(s, err)
	}
	return addressOf(ap), nil
}

// ParseMultiaddr reads an address in one of the forms
//
//	/ip4/127.0.0.1/udp/7070
//	/ip6/::1/udp/7070
//	/ip6zone/eth0/ip6/fe80::1/udp/7070
//	/ip/127.0.0.1/port/7070
//
// of which the last takes IPv4 and IPv6 alike, without a zone, and the others
// are those of the multiaddr specification. It reads nothing else: no other
// protocol, no host name, no trailing slash. The port is as in ParseAddress.
//
// The error wraps ErrAddress.
func ParseMultiaddr(s string) (Address, error) {
	ap, err := parseMultiaddr(s)
	if err != nil {
		return Address{}, badAddress(s, err)
	}
	return addressOf(ap), nil
}

// addressOf returns the Address of ap, unmapped, which also drops the zone of an
// IPv4-mapped address. Without an IP address the result is the zero value,
// whatever the port, so that there is one invalid Address.
func addressOf(ap netip.AddrPort) Address {
	if !ap.IsValid() {
		return Address{}
	}
	return Address{netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}
}

// broadcast is every node of the link, and no one of them.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// reachable reports whether a node could be at ap.
func reachable(ap netip.AddrPort) bool {
	ip := ap.Addr()
	return ap.IsValid() && ap.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() && ip != broadcast
}

// Multiaddr returns a in the standard multiaddr form, such as
// "/ip4/127.0.0.1/udp/7070", "/ip6/::1/udp/7070" or, with a zone,
// "/ip6zone/eth0/ip6/fe80::1/udp/7070". ParseMultiaddr reads it back. The result
// is empty for the zero value.
func (a Address) Multiaddr() string {
	if !a.IsValid() {
		return ""
	}
	ip := a.ap.Addr()
	prefix := "/ip4/"
	if ip.Is6() {
		prefix = "/ip6/"
		if zone := ip.Zone(); zone != "" {
			prefix = "/ip6zone/" + zone + prefix
		}
	}
	return prefix + ip.WithZone("").String() + "/udp/" + strconv.Itoa(int(a.ap.Port()))
}

// String returns a in the form that ParseAddress reads back, such as
// "192.0.2.1:7070" or "[2001:db8::1]:7070". The result is empty for the zero
// value.
func (a Address) String() string {
	if !a.IsValid() {
		return ""
	}
	return a.ap.String()
}

// AddrPort returns the IP address, never an IPv4-mapped one, and the port of a.
// For the zero value it returns the zero netip.AddrPort.
func (a Address) AddrPort() netip.AddrPort {
	return a.ap
}

// IsValid reports whether a is an address. It is false only for the zero value:
// the unspecified address and port 0 are valid.
func (a Address) IsValid() bool {
	return a.ap.IsValid()
}

// MarshalText implements encoding.TextMarshaler. The text is that of String,
// empty for the zero value. The error is always nil.
func (a Address) MarshalText() ([]byte, error) {
	return []byte(a.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. It reads text that begins
// with a slash as ParseMultiaddr does, and any other as ParseAddress does; empty
// text gives the zero value. On error, which wraps ErrAddress, a keeps its
// value.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	parse := ParseAddress
	if text[0] == '/' {
		parse = ParseMultiaddr
	}
	parsed, err := parse(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// parseHostPort reads the form of ParseAddress. It does not use
// netip.ParseAddrPort, whose errors repeat the whole text and which accepts
// leading zeros in the port and any bytes in the zone.
func parseHostPort(s string) (netip.AddrPort, error) {
	host, port, bracketed, err := splitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "" {
		return netip.AddrPort{}, errAddressNoIP
	}
	literal, zone, zoned := strings.Cut(host, "%")
	ip, err := parseIP(literal)
	if err != nil {
		return netip.AddrPort{}, err
	}
	// The brackets go by how the literal is written: a mapped address still has
	// colons in it and needs them.
	if bracketed && ip.Is4() {
		return netip.AddrPort{}, errAddressBracketed
	}
	if zoned {
		if ip, err = withZone(ip, zone); err != nil {
			return netip.AddrPort{}, err
		}
	}
	n, err := parsePort(port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(ip, n), nil
}

// splitHostPort splits s into what stands for the IP address, without its
// brackets if it has them, and what stands for the port, empty if missing.
func splitHostPort(s string) (host, port string, bracketed bool, err error) {
	if s == "" {
		return "", "", false, errAddressEmpty
	}
	if s[0] != '[' {
		host, port, _ = strings.Cut(s, ":")
		if strings.Contains(port, ":") {
			return "", "", false, errAddressBrackets
		}
		return host, port, false, nil
	}
	host, port, closed := strings.Cut(s[1:], "]")
	if !closed {
		return "", "", false, errAddressUnclosed
	}
	if port != "" && port[0] != ':' {
		return "", "", false, errAddressTrailing
	}
	return host, strings.TrimPrefix(port, ":"), true, nil
}

// parseMultiaddr reads the forms of ParseMultiaddr.
func parseMultiaddr(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, errAddressEmpty
	}
	// No form has more than seven parts, counting the empty one before the first
	// slash; the eighth only shows that there are too many.
	parts := strings.SplitN(s, "/", 8)
	if parts[0] != "" {
		return netip.AddrPort{}, errAddressMultiaddr
	}
	parts = parts[1:]

	zone, zoned := "", false
	if len(parts) == 6 && parts[0] == "ip6zone" && parts[2] == "ip6" {
		zone, zoned = parts[1], true
		parts = parts[2:]
	}
	if len(parts) != 4 {
		return netip.AddrPort{}, errAddressMultiaddr
	}
	network, literal, transport, port := parts[0], parts[1], parts[2], parts[3]
	switch network + "/" + transport {
	case "ip4/udp", "ip6/udp", "ip/port":
	default:
		return netip.AddrPort{}, errAddressMultiaddr
	}

	if literal == "" {
		return netip.AddrPort{}, errAddressNoIP
	}
	if strings.Contains(literal, "%") {
		return netip.AddrPort{}, errAddressZonePlace
	}
	ip, err := parseIP(literal)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if network == "ip4" && !ip.Is4() {
		return netip.AddrPort{}, errAddressNotIPv4
	}
	if network == "ip6" && !ip.Is6() {
		return netip.AddrPort{}, errAddressNotIPv6
	}
	if zoned {
		if ip, err = withZone(ip, zone); err != nil {
			return netip.AddrPort{}, err
		}
	}
	n, err := parsePort(port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(ip, n), nil
}

// parseIP reads an IP address without a zone. A mapped address stays mapped, for
// the caller to see how it was written.
func parseIP(literal string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(literal)
	if err == nil {
		return ip, nil
	}
	if isName(literal) {
		return netip.Addr{}, errAddressName
	}
	return netip.Addr{}, errAddressIP
}

// isName reports whether s, which is not an IP address, was probably meant as a
// host name.
func isName(s string) bool {
	letter := false
	for _, r := range s {
		switch {
		case unicode.IsLetter(r):
			letter = true
		case unicode.IsDigit(r), r == '-', r == '_', r == '.':
		default:
			return false
		}
	}
	return letter
}

// withZone returns ip with the zone. It refuses zones that would not survive a
// round trip: through Multiaddr because of a slash, through String because of a
// bracket or a percent sign, through JSON because of invalid UTF-8. Spaces and
// parentheses are in the names of real interfaces.
func withZone(ip netip.Addr, zone string) (netip.Addr, error) {
	if ip.Unmap().Is4() {
		return netip.Addr{}, errAddressZoneIPv4
	}
	if zone == "" || len(zone) > maxZone || !utf8.ValidString(zone) || strings.ContainsAny(zone, "/%[]") {
		return netip.Addr{}, errAddressZone
	}
	for _, r := range zone {
		if !unicode.IsPrint(r) {
			return netip.Addr{}, errAddressZone
		}
	}
	return ip.WithZone(zone), nil
}

// parsePort reads a port written in the one way it is printed, so that two texts
// do not differ in the port alone and mean the same address.
func parsePort(s string) (uint16, error) {
	if s == "" {
		return 0, errAddressNoPort
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, errAddressPort
	}
	return uint16(n), nil
}

// badAddress returns the error for the refused text s.
func badAddress(s string, reason error) error {
	if len(s) > maxQuoted {
		return fmt.Errorf("%w %q...: %v", ErrAddress, s[:maxQuoted], reason)
	}
	return fmt.Errorf("%w %q: %v", ErrAddress, s, reason)
}

// Address returns where others reach the node: Config.Advertise, or the bound
// address, or, if that is a wildcard, what a seed saw, or else the wildcard.
func (g *GossipService) Address() Address {
	g.mu.Lock()
	defer g.mu.Unlock()
	return addressOf(g.address())
}

// me is the node as it names itself. Without an address that others could use
// they take the one they see.
func (g *GossipService) me() wire.Member {
	m := wire.Member{ID: uint64(g.id)}
	if a := g.config.Advertise.ap; reachable(a) {
		m.Addr = a
	} else if reachable(g.bound) {
		m.Addr = g.bound
	}
	return m
}

// address returns where others reach the node, as far as that is known.
func (g *GossipService) address() netip.AddrPort {
	if a := g.me().Addr; a.IsValid() {
		return a
	}
	if g.observed.IsValid() {
		return g.observed
	}
	return g.bound
}

// sameNode reports whether a member is reached at one address and sends from
// the other.
func (g *GossipService) sameNode(a, b netip.AddrPort) bool {
	m := g.roster.ByAddr(a)
	return m != nil && m == g.roster.ByAddr(b)
}

// metMyself handles the node's own Hello: one of its seeds is itself.
func (g *GossipService) metMyself(now time.Duration, seq uint32) {
	e := g.queue.bySeq[seq]
	if e == nil || e.kind != wire.TypeHello {
		g.stats.DropMember++
		return
	}
	at := e.lane.to
	g.roster.RemoveSeed(at)
	if m := g.roster.ByAddr(at); m != nil { // somebody told the node of itself
		g.roster.Depart(m, now)
	}
	g.observed = at
	g.queue.drop(e)
	if g.roster.Seeds() == 0 {
		g.founder = true
		g.connect()
	}
}
