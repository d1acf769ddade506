//go:build unix && !aix

package transport

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fill makes the send buffer of c look full but for one datagram every so often.
func fill(c *Conn, every time.Duration) {
	room := time.Now().Add(every)
	c.outlet.step = func(uintptr) bool {
		c.outlet.err = syscall.EAGAIN
		if !time.Now().Before(room) {
			room, c.outlet.err = time.Now().Add(every), nil
		}
		return true
	}
}

func TestSendsOfABurstWaitOnceForTheSocket(t *testing.T) {
	for _, every := range []time.Duration{7 * time.Millisecond, 20 * time.Millisecond, long} {
		c := listen(t, "127.0.0.1:0")
		synctest.Test(t, func(t *testing.T) {
			fill(c, every)
			wantOneWait(t, c, every, sendWait)
		})
	}
}

func TestUsedUpBurstStillTriesTheSocket(t *testing.T) {
	c := listen(t, "127.0.0.1:0")
	synctest.Test(t, func(t *testing.T) {
		fill(c, long)
		c.BeginBurst()
		if err := c.Send([]byte("x"), c.LocalAddr()); err == nil {
			t.Fatal("a datagram was sent though the buffer is full")
		}
		fill(c, 0)
		for range burst {
			send(t, c, []byte("x"), c.LocalAddr())
		}
	})
}
