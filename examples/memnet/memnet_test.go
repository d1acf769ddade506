package memnet_test

import (
	"math"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"example.com/gossip/examples/memnet"
)

func TestNetLatencyFillsItsRange(t *testing.T) {
	for _, c := range []struct{ least, most time.Duration }{{0, 0}, {10 * ms, 10 * ms}, {0, 1}, {5 * ms, 15 * ms}, {0, 100 * ms}} {
		inBubble(t, memnet.Config{LatencyMin: c.least, LatencyMax: c.most}, func(t *testing.T, _ *memnet.Net, a, b *memnet.Conn) {
			shortest, longest := time.Hour, time.Duration(0)
			for _, took := range trips(t, 1000, a, b) {
				shortest, longest = min(shortest, took), max(longest, took)
			}
			margin := (c.most - c.least) / 100
			if shortest < c.least || shortest > c.least+margin || longest > c.most || longest < c.most-margin {
				t.Errorf("1000 datagrams took %v to %v, want %v to %v", shortest, longest, c.least, c.most)
			}
		})
	}
}

func TestNetLosesItsShare(t *testing.T) {
	for _, loss := range []float64{0, 0.01, 0.2, 0.9, 1} {
		inBubble(t, memnet.Config{Loss: loss}, func(t *testing.T, network *memnet.Net, a, b *memnet.Conn) {
			const n = 10_000
			for range n {
				send(t, a, "x", b)
			}
			got, sigma := float64(network.Counts().Lost), math.Sqrt(n*loss*(1-loss))
			if math.Abs(got-n*loss) > 4*sigma {
				t.Errorf("%v of %d datagrams were lost, want %v", got, n, n*loss)
			}
		})
	}
}

// What becomes of a datagram depends on its number among those of its sender, not on what else
// is sent, stopped or set.
func TestNetDecidesBySeedSenderAndNumber(t *testing.T) {
	config := memnet.Config{LatencyMin: ms, LatencyMax: 100 * ms, Loss: 0.2}
	fates := func(seed uint64, sender string, before func(number int, network *memnet.Net, from, beside *memnet.Conn)) (all []time.Duration) {
		config.Seed = seed
		inBubble(t, config, func(t *testing.T, network *memnet.Net, to, beside *memnet.Conn) {
			before(0, network, nil, beside)
			from, err := network.Listen(netip.MustParseAddrPort(sender))
			if err != nil {
				t.Fatal(err)
			}
			for i := range 50 {
				before(i+1, network, from, beside)
				all = append(all, trip(t, from, to))
			}
		})
		return all
	}
	nothing := func(int, *memnet.Net, *memnet.Conn, *memnet.Conn) {}
	for seed := range uint64(5) {
		alone := fates(seed, "10.0.0.9:7070", nothing)
		beside := fates(seed, "10.0.0.9:7070", func(number int, network *memnet.Net, from, beside *memnet.Conn) {
			if number == 0 {
				network.Set(memnet.Config{Seed: seed + 1}) // which leaves the seed as it is
				network.Set(config)
				return
			}
			trips(t, number%3, beside, from)
		})
		if !reflect.DeepEqual(alone, beside) {
			t.Errorf("seed %d: alone, the datagrams take\n%v\nand beside another sender\n%v", seed, alone, beside)
		}
		after := fates(seed, "10.0.0.9:7070", func(number int, network *memnet.Net, from, beside *memnet.Conn) {
			if number != 1 {
				return
			}
			network.Down(address(1))
			trips(t, 10, from, beside)
			network.Heal()
			network.Set(memnet.Config{Loss: 1})
			trips(t, 10, from, beside)
			network.Set(memnet.Config{})
			trips(t, 10, from, beside)
			network.Set(config)
		})
		if !reflect.DeepEqual(alone[30:], after[:20]) {
			t.Errorf("seed %d: alone, the last datagrams take\n%v\nand after others that were stopped\n%v", seed, alone[30:], after[:20])
		}
		for _, other := range []struct {
			seed   uint64
			sender string
		}{{seed + 1, "10.0.0.9:7070"}, {seed, "10.0.0.9:7071"}, {seed, "10.0.0.8:7070"}} {
			if reflect.DeepEqual(alone, fates(other.seed, other.sender, nothing)) {
				t.Errorf("seed %d: datagrams from 10.0.0.9:7070 take the same as with %+v", seed, other)
			}
		}
	}
}

// Datagrams that arrive at once are in the order of their senders, whoever was first.
func TestNetOrdersArrivals(t *testing.T) {
	inBubble(t, memnet.Config{LatencyMin: ms, LatencyMax: ms}, func(t *testing.T, network *memnet.Net, a, b *memnet.Conn) {
		c := listen(t, network, 2)
		send(t, c, "fourth", b)
		send(t, b, "third", b)
		send(t, a, "first", b)
		send(t, a, "second", b)
		network.Set(memnet.Config{})
		send(t, c, "at once", b)
		receives(t, b, "at once", c)
		receives(t, b, "first", a)
		receives(t, b, "second", a)
		receives(t, b, "third", b)
		receives(t, b, "fourth", c)
	})
}

func TestNetCountsEveryDatagram(t *testing.T) {
	inBubble(t, memnet.Config{LatencyMin: ms, LatencyMax: ms}, func(t *testing.T, network *memnet.Net, a, b *memnet.Conn) {
		c := listen(t, network, 2)
		c.Close()
		b.SetReadBuffer(1)
		times := func(n int, to *memnet.Conn) {
			for range n {
				send(t, a, "x", to)
			}
		}
		times(7, b)
		times(5, c)
		network.Down(address(3))
		time.Sleep(10 * ms)
		network.Set(memnet.Config{Loss: 1, LatencyMin: ms, LatencyMax: ms})
		times(4, b)
		network.Set(memnet.Config{LatencyMin: ms, LatencyMax: ms})
		network.Down(address(1))
		times(3, b)
		network.Heal()
		times(2, a)
		want := memnet.Counts{Sent: 21, InFlight: 2, Arrived: 1, Lost: 4, Cut: 3, Unreachable: 5, Overflowed: 6}
		if got := network.Counts(); got != want {
			t.Errorf("the counts are %+v, want %+v", got, want)
		}
		time.Sleep(ms)
		want.InFlight, want.Arrived = 0, 3
		if got := network.Counts(); got != want {
			t.Errorf("a millisecond later the counts are %+v, want %+v", got, want)
		}
	})
}

func TestNetListenRefusesAnAddress(t *testing.T) {
	network := memnet.New(memnet.Config{})
	c := listen(t, network, 0)
	for _, addr := range []netip.AddrPort{
		{}, netip.MustParseAddrPort("0.0.0.0:7070"), netip.MustParseAddrPort("[::]:7070"),
		netip.MustParseAddrPort("[ff02::1]:7070"), netip.MustParseAddrPort("10.0.0.9:0"),
		address(0), netip.MustParseAddrPort("[::ffff:10.0.0.1]:7070"),
	} {
		if _, err := network.Listen(addr); err == nil {
			t.Errorf("Listen took %v", addr)
		}
	}
	c.Close()
	if again := listen(t, network, 0); again.LocalAddr().String() != "10.0.0.1:7070" {
		t.Errorf("a Conn at 10.0.0.1:7070 says that it is at %v", again.LocalAddr())
	}
}

// A datagram goes to an address. It finds the Conn that is there when it arrives.
func TestNetDeliversToTheConnOnArrival(t *testing.T) {
	inBubble(t, memnet.Config{LatencyMin: 10 * ms, LatencyMax: 10 * ms}, func(t *testing.T, network *memnet.Net, a, b *memnet.Conn) {
		send(t, a, "read by none", b)
		time.Sleep(5 * ms)
		send(t, a, "for the next", b)
		time.Sleep(5 * ms)
		b.Close()
		next := listen(t, network, 1)
		receives(t, next, "for the next", a)

		next.Close()
		send(t, a, "too early", next)
		time.Sleep(10 * ms)
		last := listen(t, network, 1)
		send(t, a, "in time", last)
		receives(t, last, "in time", a)
	})
}

func TestNetRefusesAConfig(t *testing.T) {
	for _, c := range []memnet.Config{
		{LatencyMin: -1}, {LatencyMin: -2, LatencyMax: -1}, {LatencyMin: 2, LatencyMax: 1}, {LatencyMin: 1},
		{Loss: -0.1}, {Loss: 1.1}, {Loss: math.NaN()}, {Loss: math.Inf(1)},
	} {
		for name, use := range map[string]func(){
			"New": func() { memnet.New(c) },
			"Set": func() { memnet.New(memnet.Config{}).Set(c) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s took %+v", name, c)
					}
				}()
				use()
			}()
		}
	}
}
