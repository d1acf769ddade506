package transport

import (
	"runtime"
	"testing"
	"time"
)

func TestSocketDoesNotAllocate(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("this system reads through functions that allocate")
	}
	for _, c := range []*Conn{listen(t, "127.0.0.1:0"), listen6(t, "[::1]:0")} {
		buf, data := make([]byte, 1500), make([]byte, 1000)
		atMost := func(want float64, what string, f func()) {
			t.Helper()
			if got := testing.AllocsPerRun(200, f); got > want {
				t.Errorf("on %v, %s takes %v allocations, more than %v", c.LocalAddr(), what, got, want)
			}
		}
		atMost(0, "Send and Receive of a datagram", func() {
			c.BeginBurst()
			send(t, c, data, c.LocalAddr())
			if n, _, err := c.Receive(buf, long); n != len(data) || err != nil {
				t.Fatalf("Receive returned %d bytes and the error %v", n, err)
			}
		})
		atMost(0, "Receive with nothing there", func() { c.Receive(buf, 0) })
		atMost(0, "Receive woken before", func() { c.Wake(); c.Receive(buf, long) })
		// The net package puts the timeout of a raw read into a new OpError.
		atMost(1, "Receive that times out", func() { c.Receive(buf, time.Microsecond) })
	}
}

func BenchmarkSendReceive(b *testing.B) {
	bench := func(c *Conn, maxWait time.Duration) func(b *testing.B) {
		return func(b *testing.B) {
			buf, data := make([]byte, 1500), make([]byte, 1000)
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				send(b, c, data, c.LocalAddr())
				if n, _, err := c.Receive(buf, maxWait); n != len(data) || err != nil {
					b.Fatalf("Receive returned %d bytes and the error %v", n, err)
				}
			}
		}
	}
	b.Run("socket", bench(listen(b, "127.0.0.1:0"), long))
	b.Run("socket without wait", bench(listen(b, "127.0.0.1:0"), 0))
	b.Run("foreign", bench(wrap(b, foreign{udp4(b)}), long))
	b.Run("net package alone", func(b *testing.B) {
		udp := udp4(b)
		to := addrPortOf(udp.LocalAddr())
		buf, data := make([]byte, 1500), make([]byte, 1000)
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := udp.WriteToUDPAddrPort(data, to); err != nil {
				b.Fatal(err)
			}
			if _, _, err := udp.ReadFromUDPAddrPort(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPingPong makes both sides wait for each datagram.
func BenchmarkPingPong(b *testing.B) {
	near, far := listen(b, "127.0.0.1:0"), listen(b, "127.0.0.1:0")
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			n, from, err := far.Receive(buf, long)
			if err != nil {
				return
			}
			far.Send(buf[:n], from)
		}
	}()
	buf := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		send(b, near, buf[:10], far.LocalAddr())
		if _, _, err := near.Receive(buf, long); err != nil {
			b.Fatal(err)
		}
	}
	far.Close()
	<-done
}

func BenchmarkReceiveNothing(b *testing.B) {
	c := listen(b, "127.0.0.1:0")
	buf := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		c.Receive(buf, 0)
	}
}

func BenchmarkWake(b *testing.B) {
	c := listen(b, "127.0.0.1:0")
	b.ReportAllocs()
	for b.Loop() {
		c.Wake()
	}
}

// BenchmarkWakeWaiting measures a wake that ends a wait, there and back.
func BenchmarkWakeWaiting(b *testing.B) {
	near, far := listen(b, "127.0.0.1:0"), listen(b, "127.0.0.1:0")
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			if _, _, err := far.Receive(buf, long); err != ErrNothing {
				return
			}
			near.Wake()
		}
	}()
	buf := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		far.Wake()
		near.Receive(buf, long)
	}
	far.Close()
	<-done
}
