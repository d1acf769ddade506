package gossip

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"example.com/gossip/internal/addrtext"
)

// maxAddressError is more than any error of this file takes: maxQuoted bytes,
// each quoted as \x00 at worst, and the reason.
const maxAddressError = 4*maxQuoted + 256

func TestParseAddressErrors(t *testing.T) {
	tests := []struct {
		text   string
		reason error
	}{
		{"", addrtext.ErrEmpty},
		{":7070", addrtext.ErrNoIP},
		{":", addrtext.ErrNoIP},
		{"[]:7070", addrtext.ErrNoIP},
		{"1.2.3.4", addrtext.ErrNoPort},
		{"1.2.3.4:", addrtext.ErrNoPort},
		{"[::1]", addrtext.ErrNoPort},
		{"[::1]:", addrtext.ErrNoPort},
		{"1.2.3.4:65536", addrtext.ErrPort},
		{"1.2.3.4:99999999999999999999", addrtext.ErrPort},
		{"1.2.3.4:-1", addrtext.ErrPort},
		{"1.2.3.4:+1", addrtext.ErrPort},
		{"1.2.3.4:01", addrtext.ErrPort},
		{"1.2.3.4:00", addrtext.ErrPort},
		{"1.2.3.4:0x1", addrtext.ErrPort},
		{"1.2.3.4:1_0", addrtext.ErrPort},
		{"1.2.3.4: 1", addrtext.ErrPort},
		{"1.2.3.4:1 ", addrtext.ErrPort},
		{"1.2.3.4:http", addrtext.ErrPort},
		{"1.2.3.4:١", addrtext.ErrPort},
		{"[::1]:01", addrtext.ErrPort},
		{"[::1]::1", addrtext.ErrPort},
		{"localhost", addrtext.ErrName},
		{"localhost:7070", addrtext.ErrName},
		{"node-1.example.com:7070", addrtext.ErrName},
		{"[localhost]:7070", addrtext.ErrName},
		{"büro.example:7070", addrtext.ErrName},
		{"1.2.3:7070", addrtext.ErrIP},
		{"1.2.3.4.5:7070", addrtext.ErrIP},
		{"256.1.1.1:7070", addrtext.ErrIP},
		{"1.2.3.04:7070", addrtext.ErrIP},
		{" 1.2.3.4:7070", addrtext.ErrIP},
		{"7070", addrtext.ErrIP},
		{"[::1::]:7070", addrtext.ErrIP},
		{"[12345::]:7070", addrtext.ErrIP},
		{"[%eth0]:7070", addrtext.ErrIP},
		{"/ip4/1.2.3.4/udp/7070", addrtext.ErrIP},
		{"udp://1.2.3.4:7070", addrtext.ErrBrackets},
		{"::1", addrtext.ErrBrackets},
		{"::1:7070", addrtext.ErrBrackets},
		{"2001:db8::1", addrtext.ErrBrackets},
		{"fe80::1%eth0:7070", addrtext.ErrBrackets},
		{"::ffff:1.2.3.4:7070", addrtext.ErrBrackets},
		{"[1.2.3.4]:7070", addrtext.ErrBracketed},
		{"[", addrtext.ErrUnclosed},
		{"[::1:7070", addrtext.ErrUnclosed},
		{"[::1]7070", addrtext.ErrTrailing},
		{"[::1]]:7070", addrtext.ErrTrailing},
		{"[fe80::1%a]b]:7070", addrtext.ErrTrailing},
		{"1.2.3.4%eth0:7070", addrtext.ErrZoneIPv4},
		{"[::ffff:1.2.3.4%eth0]:7070", addrtext.ErrZoneIPv4},
		{"[fe80::1%]:7070", addrtext.ErrZone},
		{"[fe80::1%a/b]:7070", addrtext.ErrZone},
		{"[fe80::1%a%b]:7070", addrtext.ErrZone},
		{"[fe80::1%a[b]:7070", addrtext.ErrZone},
		{"[fe80::1%a\x00]:7070", addrtext.ErrZone},
		{"[fe80::1%a\xff]:7070", addrtext.ErrZone},
		{"[fe80::1%a\u202e]:7070", addrtext.ErrZone},
		{"[fe80::1%" + strings.Repeat("z", addrtext.MaxZone+1) + "]:7070", addrtext.ErrZone},
	}
	for _, test := range tests {
		a, err := ParseAddress(test.text)
		checkRefused(t, fmt.Sprintf("ParseAddress(%q)", test.text), test.text, a, err, test.reason)
	}
}

func TestParseMultiaddrErrors(t *testing.T) {
	tests := []struct {
		text   string
		reason error
	}{
		{"", addrtext.ErrEmpty},
		{"/", addrtext.ErrMultiaddr},
		{"1.2.3.4:7070", addrtext.ErrMultiaddr},
		{"ip4/1.2.3.4/udp/7070", addrtext.ErrMultiaddr},
		{" /ip4/1.2.3.4/udp/7070", addrtext.ErrMultiaddr},
		{"//ip4/1.2.3.4/udp/7070", addrtext.ErrMultiaddr},
		{"/ip4/1.2.3.4/udp/7070/", addrtext.ErrMultiaddr},
		{"/ip4/1.2.3.4/udp/7070/quic", addrtext.ErrMultiaddr},
		{"/ip4/1.2.3.4/udp", addrtext.ErrMultiaddr},
		{"/ip4/1.2.3.4", addrtext.ErrMultiaddr},
		{"/ip4/1.2.3.4/tcp/7070", addrtext.ErrMultiaddr},
		{"/IP4/1.2.3.4/UDP/7070", addrtext.ErrMultiaddr},
		{"/ip4/1.2.3.4/port/7070", addrtext.ErrMultiaddr},
		{"/ip/1.2.3.4/udp/7070", addrtext.ErrMultiaddr},
		{"/dns4/example.com/udp/7070", addrtext.ErrMultiaddr},
		{"/ip6zone/eth0/ip4/1.2.3.4/udp/7070", addrtext.ErrMultiaddr},
		{"/ip6zone/eth0/ip/fe80::1/port/7070", addrtext.ErrMultiaddr},
		{"/ip6zone/eth0/ip6/fe80::1/tcp/7070", addrtext.ErrMultiaddr},
		{"/ip6zone/eth0/ip6/fe80::1/udp/7070/", addrtext.ErrMultiaddr},
		{"/ip6zone/a/b/ip6/fe80::1/udp/7070", addrtext.ErrMultiaddr},
		{"/ip6/fe80::1/ip6zone/eth0/udp/7070", addrtext.ErrMultiaddr},
		{"/ip6zone/a/ip6zone/b/ip6/fe80::1/udp/7070", addrtext.ErrMultiaddr},
		{"/ip4//udp/7070", addrtext.ErrNoIP},
		{"/ip//port/7070", addrtext.ErrNoIP},
		{"/ip4/localhost/udp/7070", addrtext.ErrName},
		{"/ip/localhost/port/7070", addrtext.ErrName},
		{"/ip4/1.2.3/udp/7070", addrtext.ErrIP},
		{"/ip4/01.2.3.4/udp/7070", addrtext.ErrIP},
		{"/ip6/[::1]/udp/7070", addrtext.ErrIP},
		{"/ip4/::1/udp/7070", addrtext.ErrNotIPv4},
		{"/ip4/::ffff:1.2.3.4/udp/7070", addrtext.ErrNotIPv4},
		{"/ip6/1.2.3.4/udp/7070", addrtext.ErrNotIPv6},
		{"/ip6zone/eth0/ip6/1.2.3.4/udp/7070", addrtext.ErrNotIPv6},
		{"/ip6zone/eth0/ip6/::ffff:1.2.3.4/udp/7070", addrtext.ErrZoneIPv4},
		{"/ip6/fe80::1%eth0/udp/7070", addrtext.ErrZonePlace},
		{"/ip/fe80::1%eth0/port/7070", addrtext.ErrZonePlace},
		{"/ip6zone/eth0/ip6/fe80::1%eth1/udp/7070", addrtext.ErrZonePlace},
		{"/ip6zone//ip6/fe80::1/udp/7070", addrtext.ErrZone},
		{"/ip6zone/a%b/ip6/fe80::1/udp/7070", addrtext.ErrZone},
		{"/ip6zone/a]/ip6/fe80::1/udp/7070", addrtext.ErrZone},
		{"/ip6zone/a\n/ip6/fe80::1/udp/7070", addrtext.ErrZone},
		{"/ip6zone/" + strings.Repeat("z", addrtext.MaxZone+1) + "/ip6/fe80::1/udp/7070", addrtext.ErrZone},
		{"/ip4/1.2.3.4/udp/", addrtext.ErrNoPort},
		{"/ip4/1.2.3.4/udp/65536", addrtext.ErrPort},
		{"/ip4/1.2.3.4/udp/07070", addrtext.ErrPort},
		{"/ip4/1.2.3.4/udp/00", addrtext.ErrPort},
		{"/ip4/1.2.3.4/udp/+7070", addrtext.ErrPort},
		{"/ip4/1.2.3.4/udp/-0", addrtext.ErrPort},
		{"/ip/1.2.3.4/port/07070", addrtext.ErrPort},
		{"/ip/1.2.3.4/port/ 7070", addrtext.ErrPort},
	}
	for _, test := range tests {
		a, err := ParseMultiaddr(test.text)
		checkRefused(t, fmt.Sprintf("ParseMultiaddr(%q)", test.text), test.text, a, err, test.reason)
	}
}

// checkRefused checks the outcome of parsing a text that is not an address.
func checkRefused(t *testing.T, what, text string, a Address, err, reason error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s accepts the text as %q; it must refuse it: %v.", what, a, reason)
		return
	}
	if a != (Address{}) {
		t.Errorf("%s fails and yet returns %q.", what, a)
	}
	if !errors.Is(err, ErrAddress) {
		t.Errorf("%s returns an error that does not wrap ErrAddress: %v.", what, err)
	}
	quoted := fmt.Sprintf("%q", text)
	if len(text) > maxQuoted {
		quoted = fmt.Sprintf("%q...", text[:maxQuoted])
	}
	if want := fmt.Sprintf("%v %s: %v", ErrAddress, quoted, reason); err.Error() != want {
		t.Errorf("%s returns the error\n\t%v\ninstead of\n\t%s", what, err, want)
	}
}

func TestAddressErrorIsBounded(t *testing.T) {
	for _, unit := range []string{"a", "1", ".", ":", "/", "[", "%", "\x00", "\xff", "\U0010ffff", "1.2.3.4:", "[::1]:", "[fe80::1%", "/ip6zone/", "/ip4/1.2.3.4/udp/"} {
		text := strings.Repeat(unit, 1<<20/len(unit))
		if _, err := ParseAddress(text); err == nil || len(err.Error()) > maxAddressError {
			t.Errorf("ParseAddress of a megabyte of %q must return a short error, not %.1000v.", unit, err)
		}
		if _, err := ParseMultiaddr(text); err == nil || len(err.Error()) > maxAddressError {
			t.Errorf("ParseMultiaddr of a megabyte of %q must return a short error, not %.1000v.", unit, err)
		}
	}
}
