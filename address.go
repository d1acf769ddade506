package gossip

import (
	"fmt"
	"net/netip"

	"example.com/gossip/internal/addrtext"
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

// ParseAddress reads an IP address and a port, such as "192.0.2.1:7070", "[2001:db8::1]:7070" or,
// with a zone, "[fe80::1%eth0]:7070". The port is a number from 0 to 65535 without leading zeros;
// when binding, 0 lets the system choose one. Neither part may be left out.
//
// Host names are not resolved, because a name may stand for many addresses, and for
// others tomorrow: resolve the name, for instance with net.Resolver, and pass the
// result of netip.AddrPort.String.
//
// The error wraps ErrAddress.
func ParseAddress(s string) (Address, error) {
	ap, err := addrtext.ParseHostPort(s)
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
// are those of the multiaddr specification. It accepts nothing else: no other
// protocol, no host name, no trailing slash. The port is as in ParseAddress.
//
// The error wraps ErrAddress.
func ParseMultiaddr(s string) (Address, error) {
	ap, err := addrtext.ParseMultiaddr(s)
	if err != nil {
		return Address{}, badAddress(s, err)
	}
	return addressOf(ap), nil
}

// AddressFrom returns the Address of an IP address and port, such as a resolver or a socket gives:
// AddressFrom(conn.LocalAddr().(*net.UDPAddr).AddrPort()). The port is as in ParseAddress.
//
// The error wraps ErrAddress: there is no IP address, or its zone is longer than 255 bytes,
// not printable, or has any of / % [ ] in it.
func AddressFrom(ap netip.AddrPort) (Address, error) {
	a := addressOf(ap)
	if !a.IsValid() {
		return a, badAddress(ap.String(), addrtext.ErrNoIP)
	}
	return ParseAddress(a.String())
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

// Multiaddr returns a in the standard multiaddr form, such as "/ip4/127.0.0.1/udp/7070",
// "/ip6/::1/udp/7070" or, with a zone, "/ip6zone/eth0/ip6/fe80::1/udp/7070". ParseMultiaddr reads
// it back. The result is empty for the zero value.
func (a Address) Multiaddr() string {
	if !a.IsValid() {
		return ""
	}
	return addrtext.FormatMultiaddr(a.ap)
}

// String returns a in the form that ParseAddress reads back, such as "192.0.2.1:7070" or
// "[2001:db8::1]:7070". The result is empty for the zero value.
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

// UnmarshalText implements encoding.TextUnmarshaler. It reads text that begins with a slash as
// ParseMultiaddr does, and any other as ParseAddress does; empty text gives the zero value. On
// error, which wraps ErrAddress, a keeps its value.
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

// unreachable says why no node can be at a, in words that follow it, and what to give instead.
func (a Address) unreachable() string {
	switch ip := a.ap.Addr(); {
	case !a.IsValid():
		return "is no address: give the IP address and port of a node"
	case a.ap.Port() == 0:
		return "has port 0, with which only New may choose: give the port that the node's Address returns"
	case ip.IsUnspecified():
		return "is a wildcard, which only New may bind: give an address of the node's host"
	default:
		return "is multicast or broadcast: give the address of one node"
	}
}

// maxQuoted is how many bytes of a refused text an error repeats: enough to
// recognise it, and no more, for the text may come from anywhere.
const maxQuoted = 64

// badAddress returns the error for the refused text s.
func badAddress(s string, reason error) error {
	if len(s) > maxQuoted {
		return fmt.Errorf("%w %q...: %v", ErrAddress, s[:maxQuoted], reason)
	}
	return fmt.Errorf("%w %q: %v", ErrAddress, s, reason)
}
