package gossip

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"example.com/gossip/internal/addrtext"
)

func TestAddressIsParsed(t *testing.T) {
	tests := []struct {
		text      string
		str       string
		multiaddr string
	}{
		{"192.0.2.1:7070", "192.0.2.1:7070", "/ip4/192.0.2.1/udp/7070"},
		{"0.0.0.0:0", "0.0.0.0:0", "/ip4/0.0.0.0/udp/0"},
		{"255.255.255.255:65535", "255.255.255.255:65535", "/ip4/255.255.255.255/udp/65535"},
		{"[2001:db8::1]:7070", "[2001:db8::1]:7070", "/ip6/2001:db8::1/udp/7070"},
		{"[2001:DB8:0:0:0:0:0:1]:7070", "[2001:db8::1]:7070", "/ip6/2001:db8::1/udp/7070"},
		{"[::]:0", "[::]:0", "/ip6/::/udp/0"},
		{"[fe80::1%eth0]:7", "[fe80::1%eth0]:7", "/ip6zone/eth0/ip6/fe80::1/udp/7"},
		{"[fe80::1%eth0.100]:7", "[fe80::1%eth0.100]:7", "/ip6zone/eth0.100/ip6/fe80::1/udp/7"},
		{"[fe80::1%12]:7", "[fe80::1%12]:7", "/ip6zone/12/ip6/fe80::1/udp/7"},
		{"[fe80::1%vEthernet (Büro)]:7", "[fe80::1%vEthernet (Büro)]:7", "/ip6zone/vEthernet (Büro)/ip6/fe80::1/udp/7"},
		{"[fe80::1%a:b]:7", "[fe80::1%a:b]:7", "/ip6zone/a:b/ip6/fe80::1/udp/7"},
		{"[::1.2.3.4]:7", "[::102:304]:7", "/ip6/::102:304/udp/7"},
		{"[::ffff:1.2.3.4]:7", "1.2.3.4:7", "/ip4/1.2.3.4/udp/7"},
		{"[::ffff:102:304]:7", "1.2.3.4:7", "/ip4/1.2.3.4/udp/7"},
	}
	for _, test := range tests {
		a, err := ParseAddress(test.text)
		if err != nil {
			t.Errorf("ParseAddress(%q) fails: %v.", test.text, err)
			continue
		}
		checkAddress(t, fmt.Sprintf("ParseAddress(%q)", test.text), a, test.str, test.multiaddr)
	}
}

func TestAddressIsParsedFromMultiaddr(t *testing.T) {
	tests := []struct {
		text      string
		str       string
		multiaddr string
	}{
		{"/ip/127.0.0.1/port/7070", "127.0.0.1:7070", "/ip4/127.0.0.1/udp/7070"},
		{"/ip/::1/port/7070", "[::1]:7070", "/ip6/::1/udp/7070"},
		{"/ip/::ffff:127.0.0.1/port/7070", "127.0.0.1:7070", "/ip4/127.0.0.1/udp/7070"},
		{"/ip/127.0.0.1/port/0", "127.0.0.1:0", "/ip4/127.0.0.1/udp/0"},
		{"/ip4/127.0.0.1/udp/7070", "127.0.0.1:7070", "/ip4/127.0.0.1/udp/7070"},
		{"/ip4/0.0.0.0/udp/65535", "0.0.0.0:65535", "/ip4/0.0.0.0/udp/65535"},
		{"/ip6/::1/udp/7070", "[::1]:7070", "/ip6/::1/udp/7070"},
		{"/ip6/2001:DB8:0::1/udp/7070", "[2001:db8::1]:7070", "/ip6/2001:db8::1/udp/7070"},
		{"/ip6/::ffff:1.2.3.4/udp/7", "1.2.3.4:7", "/ip4/1.2.3.4/udp/7"},
		{"/ip6zone/eth0/ip6/fe80::1/udp/7", "[fe80::1%eth0]:7", "/ip6zone/eth0/ip6/fe80::1/udp/7"},
		{"/ip6zone/ip6/ip6/fe80::1/udp/7", "[fe80::1%ip6]:7", "/ip6zone/ip6/ip6/fe80::1/udp/7"},
	}
	for _, test := range tests {
		a, err := ParseMultiaddr(test.text)
		if err != nil {
			t.Errorf("ParseMultiaddr(%q) fails: %v.", test.text, err)
			continue
		}
		checkAddress(t, fmt.Sprintf("ParseMultiaddr(%q)", test.text), a, test.str, test.multiaddr)
	}
}

// checkAddress checks the texts of a valid address and that they read back.
func checkAddress(t *testing.T, what string, a Address, str, multiaddr string) {
	t.Helper()
	if !a.IsValid() {
		t.Errorf("%s gives an address that is not valid.", what)
	}
	if a.AddrPort().Addr().Is4In6() {
		t.Errorf("%s gives the mapped address %v.", what, a.AddrPort())
	}
	if got := a.String(); got != str {
		t.Errorf("%s prints as %q instead of %q.", what, got, str)
	}
	if got := a.Multiaddr(); got != multiaddr {
		t.Errorf("%s has the multiaddr %q instead of %q.", what, got, multiaddr)
	}
	checkRoundTrip(t, what, a)
}

// checkRoundTrip checks that every text of a valid address reads back as it.
func checkRoundTrip(t *testing.T, what string, a Address) {
	t.Helper()
	if got, err := ParseAddress(a.String()); err != nil || got != a {
		t.Errorf("%s prints as %q, which reads back as %q, error %v.", what, a, got, err)
	}
	if got, err := ParseMultiaddr(a.Multiaddr()); err != nil || got != a {
		t.Errorf("%s has the multiaddr %q, which reads back as %q, error %v.", what, a.Multiaddr(), got, err)
	}
	if got := addressOf(a.AddrPort()); got != a {
		t.Errorf("%s does not survive AddrPort: it is %q, then %q.", what, a, got)
	}
	for _, text := range []string{a.String(), a.Multiaddr()} {
		var got Address
		if err := got.UnmarshalText([]byte(text)); err != nil || got != a {
			t.Errorf("%s is unmarshalled from %q as %q, error %v.", what, text, got, err)
		}
	}
	data, err := json.Marshal(a)
	if err != nil {
		t.Errorf("%s does not marshal to JSON: %v.", what, err)
		return
	}
	var got Address
	if err := json.Unmarshal(data, &got); err != nil || got != a {
		t.Errorf("%s is %s in JSON, which reads back as %q, error %v.", what, data, got, err)
	}
}

func TestAddressTakesTheLongestZone(t *testing.T) {
	zone := strings.Repeat("z", addrtext.MaxZone)
	a, err := ParseAddress("[fe80::1%" + zone + "]:7")
	if err != nil {
		t.Fatalf("ParseAddress refuses a zone of %d bytes: %v.", addrtext.MaxZone, err)
	}
	if got := a.AddrPort().Addr().Zone(); got != zone {
		t.Errorf("The zone of %d bytes is read as %q.", addrtext.MaxZone, got)
	}
	checkRoundTrip(t, "The address with the longest zone", a)
}

func TestAddressIsNeverMapped(t *testing.T) {
	tests := []struct {
		ap  netip.AddrPort
		str string
	}{
		{netip.MustParseAddrPort("1.2.3.4:7"), "1.2.3.4:7"},
		{netip.MustParseAddrPort("[2001:db8::1]:7"), "[2001:db8::1]:7"},
		{netip.MustParseAddrPort("[fe80::1%eth0]:7"), "[fe80::1%eth0]:7"},
		{netip.MustParseAddrPort("[::ffff:1.2.3.4]:7"), "1.2.3.4:7"},
		{netip.MustParseAddrPort("[::ffff:1.2.3.4%eth0]:7"), "1.2.3.4:7"},
		{netip.AddrPort{}, ""},
		{netip.AddrPortFrom(netip.Addr{}, 7), ""},
	}
	for _, test := range tests {
		a := addressOf(test.ap)
		if got := a.String(); got != test.str {
			t.Errorf("addressOf(%v) is %q instead of %q.", test.ap, got, test.str)
		}
		if a.IsValid() != (test.str != "") {
			t.Errorf("addressOf(%v) reports IsValid as %t.", test.ap, a.IsValid())
		}
		if !a.IsValid() && a != (Address{}) {
			t.Errorf("addressOf(%v) is invalid and yet not the zero value.", test.ap)
		}
	}
}

func TestAddressZeroValueIsInvalid(t *testing.T) {
	var a Address
	if a.IsValid() {
		t.Error("The zero Address is valid.")
	}
	if got := a.String(); got != "" {
		t.Errorf("The zero Address prints as %q instead of nothing.", got)
	}
	if got := a.Multiaddr(); got != "" {
		t.Errorf("The zero Address has the multiaddr %q instead of none.", got)
	}
	if got := a.AddrPort(); got != (netip.AddrPort{}) {
		t.Errorf("The AddrPort of the zero Address is %v instead of zero.", got)
	}
	text, err := a.MarshalText()
	if err != nil || len(text) != 0 {
		t.Errorf("The zero Address marshals to %q, error %v, instead of empty text.", text, err)
	}
	b := mustParseAddress(t, "192.0.2.1:7070")
	if err := b.UnmarshalText(text); err != nil || b != a {
		t.Errorf("Empty text is unmarshalled as %q, error %v, instead of the zero Address.", b, err)
	}
}

func TestAddressIsMapKey(t *testing.T) {
	nodes := map[Address]int{}
	for _, text := range []string{"1.2.3.4:7", "[::ffff:1.2.3.4]:7", "[::ffff:102:304]:7"} {
		nodes[mustParseAddress(t, text)]++
	}
	for _, text := range []string{"/ip/1.2.3.4/port/7", "/ip4/1.2.3.4/udp/7", "/ip6/::ffff:1.2.3.4/udp/7"} {
		a, err := ParseMultiaddr(text)
		if err != nil {
			t.Fatalf("ParseMultiaddr(%q) fails: %v.", text, err)
		}
		nodes[a]++
	}
	nodes[addressOf(netip.MustParseAddrPort("[::ffff:1.2.3.4]:7"))]++
	if len(nodes) != 1 || nodes[mustParseAddress(t, "1.2.3.4:7")] != 7 {
		t.Errorf("Seven spellings of one address are not one map key: %v.", nodes)
	}

	distinct := map[Address]bool{{}: true}
	texts := []string{"1.2.3.4:7", "1.2.3.4:8", "1.2.3.5:7", "[::102:304]:7", "[fe80::1]:7", "[fe80::1%eth0]:7", "[fe80::1%eth1]:7"}
	for _, text := range texts {
		distinct[mustParseAddress(t, text)] = true
	}
	if len(distinct) != len(texts)+1 {
		t.Errorf("%d different addresses are %d map keys: %v.", len(texts)+1, len(distinct), distinct)
	}
}

func TestAddressMarshalsToJSON(t *testing.T) {
	type config struct {
		Bind  Address         `json:"bind"`
		None  Address         `json:"none"`
		Left  Address         `json:"left,omitzero"`
		Seeds []Address       `json:"seeds"`
		Names map[Address]int `json:"names"`
	}
	v4, v6 := mustParseAddress(t, "192.0.2.1:7070"), mustParseAddress(t, "[fe80::1%eth0]:7")
	want := config{Bind: v4, Seeds: []Address{v4, v6}, Names: map[Address]int{v6: 1}}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatalf("A structure with addresses does not marshal: %v.", err)
	}
	const text = `{"bind":"192.0.2.1:7070","none":"","seeds":["192.0.2.1:7070","[fe80::1%eth0]:7"],"names":{"[fe80::1%eth0]:7":1}}`
	if string(data) != text {
		t.Errorf("The addresses are, in JSON,\n\t%s\ninstead of\n\t%s", data, text)
	}

	for _, data := range []string{
		text,
		`{"bind":"/ip/192.0.2.1/port/7070","none":"","seeds":["/ip4/192.0.2.1/udp/7070","/ip6zone/eth0/ip6/fe80::1/udp/7"],"names":{"/ip6zone/eth0/ip6/fe80::1/udp/7":1}}`,
	} {
		got := config{None: v4} // replaced by the empty text
		if err := json.Unmarshal([]byte(data), &got); err != nil {
			t.Errorf("The addresses of %s do not unmarshal: %v.", data, err)
			continue
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || got.Bind != want.Bind || got.None != want.None {
			t.Errorf("The addresses of %s are read as %v instead of %v.", data, got, want)
		}
	}

	for _, data := range []string{`"localhost:7070"`, `":7070"`, `"/ip4/::1/udp/7070"`, `"/"`, `" "`} {
		a := v4
		if err := json.Unmarshal([]byte(data), &a); !errors.Is(err, ErrAddress) {
			t.Errorf("The JSON text %s must be refused with ErrAddress; the error is %v.", data, err)
		}
		if a != v4 {
			t.Errorf("The refused JSON text %s changes the address to %q.", data, a)
		}
	}
	for _, data := range []string{`7070`, `{}`, `true`} {
		a := v4
		if err := json.Unmarshal([]byte(data), &a); err == nil {
			t.Errorf("The JSON value %s, which is no text, is read as %q.", data, a)
		}
	}
}

// maxAddressError bounds the length of an error: maxQuoted bytes, each quoted as \x00 at
// worst, and the reason.
const maxAddressError = 4*maxQuoted + 256

func TestAddressErrorSaysWhatIsWrong(t *testing.T) {
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

func TestAddressErrorSaysWhatIsWrongWithAMultiaddr(t *testing.T) {
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

func mustParseAddress(t *testing.T, text string) Address {
	t.Helper()
	a, err := ParseAddress(text)
	if err != nil {
		t.Fatalf("ParseAddress(%q) fails: %v.", text, err)
	}
	return a
}

func FuzzAddress(f *testing.F) {
	for _, text := range []string{
		"",
		"192.0.2.1:7070",
		"[2001:db8::1]:0",
		"[fe80::1%eth0]:7",
		"[::ffff:1.2.3.4]:7",
		"[::ffff:1.2.3.4%eth0]:7",
		"[fe80::1%a/b]:7",
		"[fe80::1%a\xff]:7",
		":7070",
		"localhost:7070",
		"1.2.3.4:007",
		"/ip/127.0.0.1/port/7070",
		"/ip4/127.0.0.1/udp/7070",
		"/ip6/::1/udp/7070",
		"/ip6/::ffff:1.2.3.4/udp/7",
		"/ip6zone/eth0/ip6/fe80::1/udp/7",
		"/ip6zone/<&>/ip6/fe80::1/udp/7",
		"/ip6/fe80::1%eth0/udp/7",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsers := []struct {
			name  string
			parse func(string) (Address, error)
		}{
			{"ParseAddress", ParseAddress},
			{"ParseMultiaddr", ParseMultiaddr},
			{"UnmarshalText", func(s string) (a Address, err error) {
				err = a.UnmarshalText([]byte(s))
				return a, err
			}},
		}
		accepted := 0
		for _, parser := range parsers {
			what := fmt.Sprintf("%s(%q)", parser.name, text)
			a, err := parser.parse(text)
			if err != nil {
				if a != (Address{}) {
					t.Errorf("%s fails and yet returns %q.", what, a)
				}
				if !errors.Is(err, ErrAddress) {
					t.Errorf("%s returns an error that does not wrap ErrAddress: %v.", what, err)
				}
				if len(err.Error()) > maxAddressError {
					t.Errorf("%s returns an error of %d bytes.", what, len(err.Error()))
				}
				continue
			}
			accepted++
			if !a.IsValid() {
				if text != "" {
					t.Errorf("%s gives an address that is not valid.", what)
				}
				continue
			}
			if a.AddrPort().Addr().Is4In6() {
				t.Errorf("%s gives the mapped address %v.", what, a.AddrPort())
			}
			checkRoundTrip(t, what, a)
		}
		// A text has one reading: a parser's, and UnmarshalText's which follows it.
		if text != "" && accepted != 0 && accepted != 2 {
			t.Errorf("%q is accepted by %d of the parsers.", text, accepted)
		}
	})
}

func TestAddressFromANetipAddrPort(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1:7070": "192.0.2.1:7070", "[::ffff:192.0.2.1]:7070": "192.0.2.1:7070", "[fe80::1%eth0]:7070": "[fe80::1%eth0]:7070",
		"0.0.0.0:0": "0.0.0.0:0", "[::ffff:192.0.2.1%eth0]:1": "192.0.2.1:1",
	} {
		got, err := AddressFrom(netip.MustParseAddrPort(text))
		if err != nil || got != mustParseAddress(t, want) {
			t.Errorf("the Address of %v is %v, %v, not %v", text, got, err, want)
		}
	}
	for _, bad := range []netip.AddrPort{
		{}, netip.AddrPortFrom(netip.Addr{}, 7070),
		netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone("a]b"), 1),
		netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(strings.Repeat("z", 300)), 1),
	} {
		if got, err := AddressFrom(bad); !errors.Is(err, ErrAddress) || got != (Address{}) {
			t.Errorf("the Address of %.40q is %v, %v", bad.String(), got, err)
		}
	}
}
