package memnet

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// datagram is a datagram in flight or in a receive queue.
type datagram struct {
	from    netip.AddrPort
	number  uint64 // among those of its sender
	arrival time.Time
	payload []byte
}

// compare orders datagrams by their arrival, and those that arrive at once by what does not
// depend on the scheduler.
func (d *datagram) compare(e *datagram) int {
	return cmp.Or(d.arrival.Compare(e.arrival), d.from.Compare(e.from), cmp.Compare(d.number, e.number))
}

// host is an address: its Conn, what is on its way there, and the random choices for what
// comes from there, which do not depend on other hosts.
type host struct {
	addr     netip.AddrPort
	conn     *Conn       // or nil
	inFlight []*datagram // in the order of compare
	sent     uint64
	rng      *rand.Rand
}

func newHost(seed uint64, addr netip.AddrPort) *host {
	var key [32]byte
	ip := addr.Addr().As16()
	binary.BigEndian.PutUint64(key[:], seed)
	binary.BigEndian.PutUint16(key[8:], addr.Port())
	copy(key[10:], ip[:])
	return &host{addr: addr, rng: rand.New(rand.NewChaCha8(key))}
}

// next returns a datagram that h sends now. Each takes two draws, so that a change of settings
// does not shift those of later ones.
func (h *host) next(c *Config) (d *datagram, lost bool) {
	h.sent++
	lost = h.rng.Float64() < c.Loss
	latency := c.LatencyMin + time.Duration(h.rng.Float64()*float64(c.LatencyMax-c.LatencyMin+1))
	return &datagram{from: h.addr, number: h.sent, arrival: time.Now().Add(latency)}, lost
}

// expect puts d on its way to h.
func (h *host) expect(d *datagram) {
	i, _ := slices.BinarySearchFunc(h.inFlight, d, (*datagram).compare)
	h.inFlight = slices.Insert(h.inFlight, i, d)
	if i == 0 && h.conn != nil {
		h.conn.arm()
	}
}

// due takes the datagrams that have arrived by now.
func (h *host) due(now time.Time) []*datagram {
	i := slices.IndexFunc(h.inFlight, func(d *datagram) bool { return d.arrival.After(now) })
	if i < 0 {
		i = len(h.inFlight)
	}
	due := h.inFlight[:i]
	h.inFlight = h.inFlight[i:]
	return due
}
