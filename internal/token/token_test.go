package token

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func secret(b byte) (s [32]byte) {
	s[31] = b
	return s
}

var (
	maker = NewMaker(secret(1))
	alice = netip.MustParseAddrPort("192.0.2.1:7000")
)

func TestTokenHoldsInItsEpochAndTheNext(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		made := time.Duration(r.Int64N(int64(100 * Epoch)))
		if r.IntN(4) == 0 {
			made = made / Epoch * Epoch
		}
		tok := maker.Make(alice, made)
		end := (made/Epoch + 2) * Epoch
		for _, now := range []time.Duration{made, made + Epoch, made/Epoch*Epoch + Epoch - 1, end - 1} {
			if !maker.Valid(tok, alice, now) {
				t.Fatalf("seed %d: a token of %v should hold until %v, but does not at %v", seed, made, end, now)
			}
		}
		for _, now := range []time.Duration{end, end + 1, end + Epoch, end + 1000*Epoch} {
			if maker.Valid(tok, alice, now) {
				t.Fatalf("seed %d: a token of %v should hold until %v, but still does at %v", seed, made, end, now)
			}
		}
		if early := made - Epoch; early >= 0 && maker.Valid(tok, alice, early) {
			t.Fatalf("seed %d: a token of %v should not hold at %v, the epoch before", seed, made, early)
		}
		if maker.Make(alice, made/Epoch*Epoch) != tok {
			t.Fatalf("seed %d: all tokens of one epoch are alike, but the one of %v is not", seed, made)
		}
	}
}

func TestTokenIsForOneAddressAndOfOneMaker(t *testing.T) {
	tok := maker.Make(alice, 0)
	for _, other := range []string{
		"192.0.2.2:7000", "192.0.2.1:7001", "192.0.2.1:0", "193.0.2.1:7000", "0.0.0.0:7000",
		"[2001:db8::1]:7000", "[::192.0.2.1]:7000", "[::]:7000",
	} {
		if maker.Valid(tok, netip.MustParseAddrPort(other), 0) {
			t.Errorf("the token of %v should not hold at %v", alice, other)
		}
	}
	six := netip.MustParseAddr("2001:db8::1").As16()
	for bit := range 8 * len(six) {
		other := six
		other[bit/8] ^= 1 << (bit % 8)
		a, b := netip.AddrPortFrom(netip.AddrFrom16(six), 7000), netip.AddrPortFrom(netip.AddrFrom16(other), 7000)
		if maker.Valid(maker.Make(a, 0), b, 0) {
			t.Errorf("the token of %v should not hold at %v", a, b)
		}
	}
	if maker.Valid(tok, netip.AddrPort{}, 0) || maker.Make(netip.AddrPort{}, 0) == 0 {
		t.Error("no address has a token that is nobody else's")
	}
	for _, s := range [][32]byte{secret(0), secret(2), {1}} {
		if NewMaker(s).Valid(tok, alice, 0) {
			t.Errorf("a token should not hold with whoever has secret %x", s)
		}
	}
	if !NewMaker(secret(1)).Valid(tok, alice, 0) {
		t.Error("a token should hold with whoever has the same secret")
	}
}

// A socket that speaks both families reports IPv4 sources as mapped ones.
func TestTokenIsTheSameForAMappedAddress(t *testing.T) {
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:7000")
	if mapped == alice || !maker.Valid(maker.Make(alice, 0), mapped, 0) || !maker.Valid(maker.Make(mapped, 0), alice, 0) {
		t.Fatalf("%v and %v are one source and should have one token", alice, mapped)
	}
}

func TestNoToken(t *testing.T) {
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 2))
		now := time.Duration(r.Int64N(int64(1000 * time.Hour)))
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), 1, 2}), uint16(r.Uint32()))
		tok := maker.Make(addr, now)
		if tok == 0 || maker.Valid(0, addr, now) {
			t.Fatalf("seed %d: 0 should be no token, but at %v of %v it is; made was %d", seed, now, addr, tok)
		}
		if bit := uint64(1) << r.IntN(64); maker.Valid(tok^bit, addr, now) {
			t.Fatalf("seed %d: with bit %x turned the token of %v should not hold", seed, bit, addr)
		}
	}
}

func TestTokenAllocatesNothing(t *testing.T) {
	six := netip.MustParseAddrPort("[2001:db8::1]:7000")
	if n := testing.AllocsPerRun(1000, func() {
		maker.Valid(maker.Make(alice, time.Minute), alice, time.Minute)
		maker.Valid(maker.Make(six, time.Minute), six, time.Hour)
	}); n != 0 {
		t.Fatalf("tokens should cost no memory, but take %v allocations", n)
	}
}

func BenchmarkValid(b *testing.B) {
	tok := maker.Make(alice, time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		maker.Valid(tok, alice, time.Minute)
	}
}
