package memnet_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"example.com/gossip/examples/memnet"
)

const ms = time.Millisecond

// address is that of a node.
func address(i int) netip.AddrPort {
	return netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:7070", i+1))
}

// onBoth tests what a Conn promises with two Conns in a bubble, and with two UDP sockets, which
// promise the same. The function rest lets goroutines go on until they wait, where it can.
func onBoth(t *testing.T, test func(t *testing.T, a, b net.PacketConn, rest func())) {
	t.Run("memnet", func(t *testing.T) {
		inBubble(t, memnet.Config{}, func(t *testing.T, _ *memnet.Net, a, b *memnet.Conn) {
			test(t, a, b, synctest.Wait)
		})
	})
	t.Run("UDP", func(t *testing.T) {
		var conns [2]net.PacketConn
		for i := range conns {
			c, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns[i] = c
		}
		test(t, conns[0], conns[1], func() {})
	})
}

func inBubble(t *testing.T, config memnet.Config, test func(t *testing.T, network *memnet.Net, a, b *memnet.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New(config)
		test(t, network, listen(t, network, 0), listen(t, network, 1))
	})
}

func listen(t *testing.T, network *memnet.Net, i int) *memnet.Conn {
	t.Helper()
	c, err := network.Listen(address(i))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, from net.PacketConn, payload string, to net.PacketConn) {
	t.Helper()
	if n, err := from.WriteTo([]byte(payload), to.LocalAddr()); n != len(payload) || err != nil {
		t.Fatalf("WriteTo returned %d, %v for %d bytes", n, err, len(payload))
	}
}

// receives fails the test unless the next datagram, within ten seconds, is the one wanted.
func receives(t *testing.T, c net.PacketConn, want string, from net.PacketConn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 1<<16)
	n, addr, err := c.ReadFrom(buf)
	if err != nil || string(buf[:n]) != want {
		t.Fatalf("ReadFrom returned %.20q of %d bytes, %v, want %.20q of %d bytes", buf[:n], n, err, want, len(want))
	}
	if addr, ok := addr.(*net.UDPAddr); !ok || addr.String() != from.LocalAddr().String() {
		t.Errorf("the datagram came from %T %v, want *net.UDPAddr %v", addr, addr, from.LocalAddr())
	}
}

// reading starts a ReadFrom whose error is sent to the channel.
func reading(c net.PacketConn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, _, err := c.ReadFrom(make([]byte, 100))
		ended <- err
	}()
	return ended
}

// ends fails the test unless a call ends within ten seconds with the error wanted.
func ends(t *testing.T, call string, ended <-chan error, want error) {
	t.Helper()
	select {
	case err := <-ended:
		isError(t, call, err, want)
	case <-time.After(10 * time.Second):
		t.Fatalf("%s has not ended after 10 seconds", call)
	}
}

func isError(t *testing.T, call string, err, want error) {
	t.Helper()
	var op *net.OpError
	if !errors.Is(err, want) || want != nil && !errors.As(err, &op) {
		t.Errorf("%s returned %T %v, want *net.OpError %v", call, err, err, want)
	}
}

func readFrom(c net.PacketConn) error {
	_, _, err := c.ReadFrom(make([]byte, 100))
	return err
}

func writeTo(c net.PacketConn, to net.Addr) error {
	_, err := c.WriteTo([]byte("x"), to)
	return err
}

// trip sends a datagram and returns how long it takes, or -1 if it does not arrive within a
// second.
func trip(t *testing.T, a, b *memnet.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	send(t, a, "x", b)
	b.SetReadDeadline(start.Add(time.Second))
	if readFrom(b) != nil {
		return -1
	}
	return time.Since(start)
}

func trips(t *testing.T, n int, a, b *memnet.Conn) []time.Duration {
	t.Helper()
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = trip(t, a, b)
	}
	return all
}
