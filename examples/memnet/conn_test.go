package memnet_test

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/gossip/examples/memnet"
)

func TestConnCarriesDatagrams(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.PacketConn, _ func()) {
		long := strings.Repeat("0123456789", 900) // that every system takes
		for _, payload := range []string{"a", "", long, "b"} {
			send(t, a, payload, b)
			receives(t, b, payload, a)
			send(t, b, payload, a)
			receives(t, a, payload, b)
			send(t, a, payload, a)
			receives(t, a, payload, a)
		}
	})
}

func TestConnSendsACopy(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.PacketConn, _ func()) {
		buf := []byte("before")
		if _, err := a.WriteTo(buf, b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		copy(buf, "after ")
		receives(t, b, "before", a)
	})
}

// Windows makes it an error.
func TestConnCutsALongDatagram(t *testing.T) {
	inBubble(t, memnet.Config{}, func(t *testing.T, _ *memnet.Net, a, b *memnet.Conn) {
		send(t, a, "0123456789", b)
		send(t, a, "next", b)
		buf := []byte("xxxxxx")
		if n, _, err := b.ReadFrom(buf[:4]); n != 4 || err != nil || string(buf) != "0123xx" {
			t.Errorf("ReadFrom returned %d, %v and %q, want 4 and 0123xx", n, err, buf)
		}
		receives(t, b, "next", a)
	})
}

func TestConnRefusesADestination(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.PacketConn, _ func()) {
		to := *b.LocalAddr().(*net.UDPAddr)
		to.Port = 0
		for _, addr := range []net.Addr{
			nil, (*net.UDPAddr)(nil), &to, &net.TCPAddr{IP: to.IP, Port: 7070}, &net.UDPAddr{IP: net.IPv6loopback, Port: 7070},
		} {
			var op *net.OpError
			if err := writeTo(a, addr); !errors.As(err, &op) {
				t.Errorf("WriteTo %T %v returned %v, want a *net.OpError", addr, addr, err)
			}
		}
		if n, err := a.WriteTo(make([]byte, 65508), b.LocalAddr()); n != 0 || err == nil {
			t.Errorf("WriteTo returned %d, %v for 65508 bytes, want an error", n, err)
		}
	})
}

func TestConnReadDeadlineEndsReadFrom(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.PacketConn, rest func()) {
		const wait = 20 * time.Millisecond
		start := time.Now()
		a.SetReadDeadline(start.Add(wait))
		err := readFrom(a)
		isError(t, "ReadFrom with a deadline", err, os.ErrDeadlineExceeded)
		if e, ok := err.(net.Error); !ok || !e.Timeout() {
			t.Errorf("ReadFrom with a deadline returned %v, which is no timeout", err)
		}
		if took := time.Since(start); took < wait {
			t.Errorf("ReadFrom with a deadline in %v returned after %v", wait, took)
		}

		for name, set := range map[string]func(time.Time) error{"SetReadDeadline": a.SetReadDeadline, "SetDeadline": a.SetDeadline} {
			for _, deadline := range []time.Time{time.Now().Add(wait), time.Now(), time.Unix(1, 0)} {
				a.SetReadDeadline(time.Time{})
				waiting := reading(a)
				rest()
				isError(t, name, set(deadline), nil)
				ends(t, "ReadFrom, while which "+name+" was called,", waiting, os.ErrDeadlineExceeded)
			}
		}
	})
}

func TestConnReadDeadlineMayBePutOff(t *testing.T) {
	inBubble(t, memnet.Config{}, func(t *testing.T, _ *memnet.Net, a, b *memnet.Conn) {
		for _, later := range []time.Time{{}, time.Now().Add(time.Hour)} {
			a.SetReadDeadline(time.Now().Add(time.Second))
			waiting := reading(a)
			synctest.Wait()
			a.SetReadDeadline(later)
			time.Sleep(time.Minute)
			send(t, b, "x", a)
			ends(t, "ReadFrom, whose deadline was put off,", waiting, nil)
		}
	})
}

func TestConnReadDeadlineHidesDatagrams(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.PacketConn, _ func()) {
		send(t, b, "hidden", a)
		send(t, a, "later", b)
		receives(t, b, "later", a) // so the first one is there
		a.SetReadDeadline(time.Unix(1, 0))
		for range 2 {
			isError(t, "ReadFrom with a datagram waiting", readFrom(a), os.ErrDeadlineExceeded)
		}
		receives(t, a, "hidden", b)
	})
}

func TestConnWriteDeadlineEndsWriteTo(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.PacketConn, _ func()) {
		for _, set := range []func(time.Time) error{a.SetWriteDeadline, a.SetDeadline} {
			set(time.Unix(1, 0))
			isError(t, "WriteTo after its deadline", writeTo(a, b.LocalAddr()), os.ErrDeadlineExceeded)
			set(time.Now().Add(time.Hour))
			isError(t, "WriteTo before its deadline", writeTo(a, b.LocalAddr()), nil)
			receives(t, b, "x", a)
			set(time.Time{})
			isError(t, "WriteTo without a deadline", writeTo(a, b.LocalAddr()), nil)
			receives(t, b, "x", a)
		}
	})
}

func TestConnCloseEndsEverything(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.PacketConn, rest func()) {
		first, second := reading(a), reading(a)
		rest()
		isError(t, "Close", a.Close(), nil)
		ends(t, "ReadFrom, while which Close was called,", first, net.ErrClosed)
		ends(t, "another ReadFrom", second, net.ErrClosed)
		for call, err := range map[string]error{
			"ReadFrom": readFrom(a), "WriteTo": writeTo(a, b.LocalAddr()), "Close": a.Close(),
			"SetDeadline":      a.SetDeadline(time.Unix(1, 0)),
			"SetReadDeadline":  a.SetReadDeadline(time.Unix(1, 0)),
			"SetWriteDeadline": a.SetWriteDeadline(time.Unix(1, 0)),
		} {
			isError(t, call+" after Close", err, net.ErrClosed)
		}
	})
}

func TestConnGivesEachReadFromADatagram(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.PacketConn, rest func()) {
		got := make(chan string, 3)
		for range 3 {
			go func() {
				buf := make([]byte, 100)
				n, _, err := a.ReadFrom(buf)
				if err != nil {
					got <- err.Error()
				}
				got <- string(buf[:n])
			}()
		}
		rest()
		var all []string
		for _, payload := range []string{"x", "y", "z"} {
			send(t, b, payload, a)
			all = append(all, <-got)
		}
		if slices.Sort(all); !slices.Equal(all, []string{"x", "y", "z"}) {
			t.Errorf("three ReadFrom that waited at once returned %q", all)
		}
	})
}

func TestConnKeepsADatagramWhenItsDeadlineChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.PacketConn, rest func()) {
		for range 100 {
			a.SetReadDeadline(time.Time{})
			waiting := reading(a)
			rest()
			send(t, b, "x", a)
			a.SetReadDeadline(time.Now().Add(time.Hour)) // maybe before ReadFrom goes on
			ends(t, "ReadFrom, while which a datagram came and a deadline was set,", waiting, nil)
		}
	})
}

func TestConnDropsWhatItsReceiveQueueHasNoRoomFor(t *testing.T) {
	for _, c := range []struct{ readBuffer, size, want int }{
		{0, 480, 171}, {0, 0, 278}, {0, 65507, 4}, {1, 480, 1}, {-1, 480, 1}, {1248, 480, 1}, {1249, 480, 2}, {10 << 20, 480, 300},
	} {
		inBubble(t, memnet.Config{}, func(t *testing.T, network *memnet.Net, a, b *memnet.Conn) {
			if c.readBuffer != 0 {
				b.SetReadBuffer(c.readBuffer)
			}
			for range 2 { // it has room again once it was read
				for range 300 {
					send(t, a, strings.Repeat("x", c.size), b)
				}
				got := 0
				b.SetReadDeadline(time.Now().Add(time.Second))
				for readFrom(b) == nil {
					got++
				}
				if got != c.want {
					t.Errorf("%d of 300 datagrams of %d bytes were read with a buffer of %d, want %d", got, c.size, c.readBuffer, c.want)
				}
			}
			if n := network.Counts().Overflowed; n != uint64(2*(300-c.want)) {
				t.Errorf("%d datagrams were counted as overflowed, want %d", n, 2*(300-c.want))
			}
		})
	}
}

func TestConnKeepsWhatArrivedBeforeItsReceiveQueueWasBounded(t *testing.T) {
	inBubble(t, memnet.Config{}, func(t *testing.T, _ *memnet.Net, a, b *memnet.Conn) {
		send(t, a, "x", b)
		send(t, a, "y", b)
		b.SetReadBuffer(1)
		send(t, a, "dropped", b)
		receives(t, b, "x", a)
		receives(t, b, "y", a)
		send(t, a, "z", b)
		receives(t, b, "z", a)
	})
}
