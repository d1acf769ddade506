package view

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// twin returns another address with the hash of a.
func twin(a netip.AddrPort, port uint16) netip.AddrPort {
	inverse := uint64(1) // of 31, as numbers of 64 bits multiply
	for range 6 {
		inverse *= 2 - 31*inverse
	}
	b := a.Addr().As16()
	hi, lo := binary.BigEndian.Uint64(b[:8])*31, binary.BigEndian.Uint64(b[8:])
	lo = hi ^ ((hi^lo)*31^uint64(a.Port())^uint64(port))*inverse
	binary.BigEndian.PutUint64(b[8:], lo)
	return netip.AddrPortFrom(netip.AddrFrom16(b), port)
}

func TestMembersAreFoundByAddressesOfOneHash(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 40))
		var addrs []netip.AddrPort
		for i := range 10 {
			a := netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)}), 7070)
			addrs = append(addrs, a)
			for port := range uint16(i) {
				addrs = append(addrs, twin(a, 1+port))
			}
		}
		if HashAddr(addrs[1]) == HashAddr(addrs[0]) || HashAddr(addrs[len(addrs)-1]) != HashAddr(addrs[len(addrs)-2]) {
			t.Fatal("the twins of an address, and only they, should have its hash")
		}
		v, at := New(1, len(addrs)), map[netip.AddrPort]*Member{}
		for step := range 2000 {
			a, free := addrs[rng.IntN(len(addrs))], addrs[rng.IntN(len(addrs))]
			switch m := at[a]; {
			case m == nil:
				at[a], _ = v.Insert(uint64(step+2), a, true)
			case at[free] != nil || m.Addr != a && free != a:
				v.Remove(m)
				for x, other := range at {
					if other == m {
						delete(at, x)
					}
				}
			case rng.IntN(2) == 0:
				v.Move(m, free)
				delete(at, a)
				at[free] = m
			default:
				if observed, ok := m.observed(); ok {
					delete(at, observed)
				}
				v.SendsFrom(m, free)
				at[free] = m
			}
			for _, x := range addrs {
				if got := v.ByAddr(x); got != at[x] {
					t.Fatalf("seed %d step %d: at %v there should be %+v, but %+v is found", seed, step, x, at[x], got)
				}
			}
			if len(v.byAddr) != len(at) {
				t.Fatalf("seed %d step %d: %d addresses are in use and %d are remembered", seed, step, len(at), len(v.byAddr))
			}
		}
	}
}
