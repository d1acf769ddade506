// Package addrtext reads and writes addresses as text. It is strict: in each form an
// address can be written in only one way. Errors say what is wrong without repeating the
// text.
package addrtext

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxZone is the longest zone accepted, in bytes, so that text cannot make an address
// arbitrarily large. Interface names are far shorter: 15 bytes on Linux.
const MaxZone = 255

// Reasons why a text is not an address, to be printed after it.
var (
	ErrEmpty     = errors.New("it is empty")
	ErrMultiaddr = errors.New("it must have the form /ip4/127.0.0.1/udp/7070, /ip6/::1/udp/7070, /ip6zone/eth0/ip6/fe80::1/udp/7070 or /ip/127.0.0.1/port/7070")
	ErrNoIP      = errors.New("an IP address is needed, e.g. 0.0.0.0:7070 or [::]:7070")
	ErrName      = errors.New("the library takes addresses, not names: resolve the host name first")
	ErrIP        = errors.New("not an IP address")
	ErrNotIPv4   = errors.New("not an IPv4 address")
	ErrNotIPv6   = errors.New("not an IPv6 address")
	ErrBrackets  = errors.New("an IPv6 address goes in square brackets, followed by its port, e.g. [2001:db8::1]:7070")
	ErrBracketed = errors.New("only an IPv6 address goes in square brackets")
	ErrUnclosed  = errors.New("the closing square bracket is missing")
	ErrTrailing  = errors.New("a colon and the port must follow the closing square bracket")
	ErrNoPort    = errors.New("port is missing")
	ErrPort      = errors.New("port must be a decimal number from 0 to 65535, without a sign or leading zeros")
	ErrZoneIPv4  = errors.New("an IPv4 address has no zone")
	ErrZone      = errors.New("the zone must be 1 to 255 bytes of printable text without any of / % [ ]")
	ErrZonePlace = errors.New("in a multiaddr the zone comes first: /ip6zone/eth0/ip6/fe80::1/udp/7070")
)

// ParseHostPort reads 192.0.2.1:7070, [2001:db8::1]:7070 or, with a zone,
// [fe80::1%eth0]:7070. It does not use netip.ParseAddrPort, whose errors repeat the
// whole text and which accepts leading zeros in the port and any bytes in the zone.
func ParseHostPort(s string) (netip.AddrPort, error) {
	host, port, bracketed, err := splitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "" {
		return netip.AddrPort{}, ErrNoIP
	}
	literal, zone, zoned := strings.Cut(host, "%")
	ip, err := parseIP(literal)
	if err != nil {
		return netip.AddrPort{}, err
	}
	// Brackets depend on how the literal is written: a mapped address still has
	// colons in it and needs them.
	if bracketed && ip.Is4() {
		return netip.AddrPort{}, ErrBracketed
	}
	return assemble(ip, zone, zoned, port)
}

// splitHostPort splits s into the part for the IP address, without its brackets if it
// has them, and the part for the port, empty if missing.
func splitHostPort(s string) (host, port string, bracketed bool, err error) {
	if s == "" {
		return "", "", false, ErrEmpty
	}
	if s[0] != '[' {
		host, port, _ = strings.Cut(s, ":")
		if strings.Contains(port, ":") {
			return "", "", false, ErrBrackets
		}
		return host, port, false, nil
	}
	host, port, closed := strings.Cut(s[1:], "]")
	if !closed {
		return "", "", false, ErrUnclosed
	}
	if port != "" && port[0] != ':' {
		return "", "", false, ErrTrailing
	}
	return host, strings.TrimPrefix(port, ":"), true, nil
}

// ParseMultiaddr reads the four forms that ErrMultiaddr names.
func ParseMultiaddr(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, ErrEmpty
	}
	// No form has more than seven parts, counting the empty one before the first
	// slash; the eighth only shows that there are too many.
	parts := strings.SplitN(s, "/", 8)
	if parts[0] != "" {
		return netip.AddrPort{}, ErrMultiaddr
	}
	parts = parts[1:]

	zone, zoned := "", false
	if len(parts) == 6 && parts[0] == "ip6zone" && parts[2] == "ip6" {
		zone, zoned = parts[1], true
		parts = parts[2:]
	}
	if len(parts) != 4 {
		return netip.AddrPort{}, ErrMultiaddr
	}
	network, literal, transport, port := parts[0], parts[1], parts[2], parts[3]
	switch network + "/" + transport {
	case "ip4/udp", "ip6/udp", "ip/port":
	default:
		return netip.AddrPort{}, ErrMultiaddr
	}

	if literal == "" {
		return netip.AddrPort{}, ErrNoIP
	}
	if strings.Contains(literal, "%") {
		return netip.AddrPort{}, ErrZonePlace
	}
	ip, err := parseIP(literal)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if network == "ip4" && !ip.Is4() {
		return netip.AddrPort{}, ErrNotIPv4
	}
	if network == "ip6" && !ip.Is6() {
		return netip.AddrPort{}, ErrNotIPv6
	}
	return assemble(ip, zone, zoned, port)
}

// assemble makes an address from ip, the text of a zone if there is one, and that of a port.
func assemble(ip netip.Addr, zone string, zoned bool, port string) (netip.AddrPort, error) {
	if zoned {
		var err error
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

// parseIP reads an IP address without a zone. A mapped address stays mapped, so that the
// caller sees how it was written.
func parseIP(literal string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(literal)
	if err == nil {
		return ip, nil
	}
	if isName(literal) {
		return netip.Addr{}, ErrName
	}
	return netip.Addr{}, ErrIP
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
		return netip.Addr{}, ErrZoneIPv4
	}
	if zone == "" || len(zone) > MaxZone || !utf8.ValidString(zone) || strings.ContainsAny(zone, "/%[]") {
		return netip.Addr{}, ErrZone
	}
	for _, r := range zone {
		if !unicode.IsPrint(r) {
			return netip.Addr{}, ErrZone
		}
	}
	return ip.WithZone(zone), nil
}

// parsePort accepts a port only as it is printed, so that texts that differ in the port
// mean different addresses.
func parsePort(s string) (uint16, error) {
	if s == "" {
		return 0, ErrNoPort
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, ErrPort
	}
	return uint16(n), nil
}

// FormatMultiaddr writes a valid address as /ip4/…/udp/…, /ip6/…/udp/… or, with a
// zone, /ip6zone/…/ip6/…/udp/….
func FormatMultiaddr(a netip.AddrPort) string {
	ip, prefix := a.Addr(), "/ip4/"
	if ip.Is6() {
		prefix = "/ip6/"
		if zone := ip.Zone(); zone != "" {
			prefix = "/ip6zone/" + zone + prefix
		}
	}
	return prefix + ip.WithZone("").String() + "/udp/" + strconv.Itoa(int(a.Port()))
}
