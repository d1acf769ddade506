package memnet

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// A host that nobody reads from keeps no more than what its receive queue has room for and what
// is in flight.
func TestHostIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{LatencyMin: 10 * time.Millisecond, LatencyMax: 10 * time.Millisecond})
		from, err := n.Listen(netip.MustParseAddrPort("10.0.0.1:7070"))
		if err != nil {
			t.Fatal(err)
		}
		to, err := n.Listen(netip.MustParseAddrPort("10.0.0.2:7070"))
		if err != nil {
			t.Fatal(err)
		}
		for range 10_000 {
			from.WriteTo(make([]byte, 480), to.LocalAddr())
			time.Sleep(time.Millisecond)
		}
		if flying, queued := len(to.host.inFlight), len(to.queue); flying > 10 || queued > 171 {
			t.Errorf("%d datagrams are in flight and %d wait, want at most 10 and 171", flying, queued)
		}
	})
}
