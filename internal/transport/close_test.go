package transport

import (
	"errors"
	"net"
	"testing"
)

// closing is a PacketConn whose Close runs a hook first.
type closing struct {
	hooked
	hook func()
}

func (c *closing) Close() error {
	c.hook()
	return c.PacketConn.Close()
}

func wantClosed(t *testing.T, c *Conn) {
	t.Helper()
	if r := receive(c, long); !errors.Is(r.err, net.ErrClosed) || r.took > patience {
		t.Errorf("after Close, Receive returned the error %v after %v", r.err, r.took)
	}
	if err := c.Send([]byte("x"), c.LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close, Send returned the error %v", err)
	}
	survive(t, "Wake", c.Wake)
	survive(t, "a second Close", func() { c.Close() })
}

// The Close of a PacketConn may wait until nobody reads from it.
func TestCloseThatTakesItsTimeHoldsNobodyUp(t *testing.T) {
	release := make(chan struct{})
	c := wrap(t, &closing{hooked{PacketConn: udp4(t)}, func() { <-release }})
	done := receiveAside(t, c, long)
	closed := make(chan error)
	go func() { closed <- c.Close() }()
	if r := await(t, done, "the Conn was closed"); !errors.Is(r.err, net.ErrClosed) {
		t.Errorf("while Close takes its time Receive returned the error %v", r.err)
	}
	wantClosed(t, c)
	close(release)
	if err := <-closed; err != nil {
		t.Errorf("Close failed: %v", err)
	}
}

func TestCloseThatPanicsDoesNoLastingHarm(t *testing.T) {
	for how, end := range ends {
		t.Run("Close/"+how, func(t *testing.T) {
			c := wrap(t, &closing{hooked{PacketConn: udp4(t)}, end})
			done := receiveAside(t, c, long)
			survive(t, "Close", func() { c.Close() })
			if r := await(t, done, "the Conn was closed"); !errors.Is(r.err, net.ErrClosed) {
				t.Errorf("after a Close that failed Receive returned the error %v", r.err)
			}
			wantClosed(t, c)
		})
		t.Run("SetReadDeadline/"+how, func(t *testing.T) {
			h := &hooked{PacketConn: udp4(t)}
			c := wrap(t, h)
			done := receiveAside(t, c, long)
			endOnce := func() { h.readDeadline.Store(nil); end() }
			h.readDeadline.Store(&endOnce)
			survive(t, "Close", func() { c.Close() })
			if r := await(t, done, "the Conn was closed"); !errors.Is(r.err, net.ErrClosed) {
				t.Errorf("after a Close that failed Receive returned the error %v", r.err)
			}
			wantClosed(t, c)
		})
	}
}
