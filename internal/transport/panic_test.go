package transport

import (
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// hooked is a PacketConn whose methods run a hook, if there is one, before they work.
type hooked struct {
	net.PacketConn
	readFrom, writeTo, readDeadline, writeDeadline atomic.Pointer[func()]
}

func run(hook *atomic.Pointer[func()]) {
	if f := hook.Load(); f != nil {
		(*f)()
	}
}

func (h *hooked) ReadFrom(b []byte) (int, net.Addr, error) {
	run(&h.readFrom)
	return h.PacketConn.ReadFrom(b)
}

func (h *hooked) WriteTo(b []byte, to net.Addr) (int, error) {
	run(&h.writeTo)
	return h.PacketConn.WriteTo(b, to)
}

func (h *hooked) SetReadDeadline(t time.Time) error {
	run(&h.readDeadline)
	return h.PacketConn.SetReadDeadline(t)
}

func (h *hooked) SetWriteDeadline(t time.Time) error {
	run(&h.writeDeadline)
	return h.PacketConn.SetWriteDeadline(t)
}

// ends are the ways in which a method of a PacketConn may end without a return.
var ends = map[string]func(){
	"panic":  func() { panic("the PacketConn fails") },
	"Goexit": runtime.Goexit,
}

// survive runs f on a goroutine of its own and waits until it has returned, panicked or
// ended the goroutine.
func survive(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s never ends", what)
	}
}

// wantSound fails the test if the Conn does not send, wait, wake and receive.
func wantSound(t *testing.T, c *Conn) {
	t.Helper()
	survive(t, "BeginBurst", c.BeginBurst)
	survive(t, "Wake", c.Wake)
	survive(t, "Receive after Wake", func() { c.Receive(make([]byte, 1), long) })
	r := receive(c, 20*time.Millisecond)
	wantNothing(t, r, "with nothing there")
	if r.took < 20*time.Millisecond {
		t.Fatalf("Receive(20ms) took %v with nothing there", r.took)
	}
	done := receiveAside(t, c, long)
	survive(t, "Wake", c.Wake)
	wantNothing(t, await(t, done, "it was woken"), "woken")
	done = receiveAside(t, c, long)
	survive(t, "Send", func() { send(t, c, []byte("hello"), c.LocalAddr()) })
	wantData(t, await(t, done, "a datagram was sent"), "hello", "while waiting")
}

func TestPacketConnThatPanicsDoesNoLastingHarm(t *testing.T) {
	buf := make([]byte, 100)
	stories := map[string]func(t *testing.T, h *hooked, c *Conn, end func()){
		"ReadFrom": func(t *testing.T, h *hooked, c *Conn, end func()) {
			h.readFrom.Store(&end)
			for _, maxWait := range []time.Duration{0, long} {
				survive(t, "Receive", func() { c.Receive(buf, maxWait) })
			}
			h.readFrom.Store(nil)
		},
		"ReadFrom, woken": func(t *testing.T, h *hooked, c *Conn, end func()) {
			wakeAndEnd := func() { c.Wake(); end() }
			h.readFrom.Store(&wakeAndEnd)
			survive(t, "Receive", func() { c.Receive(buf, long) })
			h.readFrom.Store(nil)
		},
		"SetReadDeadline of Receive": func(t *testing.T, h *hooked, c *Conn, end func()) {
			h.readDeadline.Store(&end)
			for _, maxWait := range []time.Duration{0, long} {
				survive(t, "Receive", func() { c.Receive(buf, maxWait) })
			}
			h.readDeadline.Store(nil)
		},
		"SetReadDeadline at the end of Receive": func(t *testing.T, h *hooked, c *Conn, end func()) {
			failLater := func() { h.readDeadline.Store(&end) }
			h.readFrom.Store(&failLater)
			survive(t, "Receive", func() { c.Receive(buf, 2*pollTime) })
			h.readFrom.Store(nil)
			h.readDeadline.Store(nil)
		},
		"SetReadDeadline of Wake": func(t *testing.T, h *hooked, c *Conn, end func()) {
			done := receiveAside(t, c, long)
			h.readDeadline.Store(&end)
			survive(t, "Wake", c.Wake)
			h.readDeadline.Store(nil)
			// The wait itself goes on until something else ends it.
			send(t, c, []byte("hello"), c.LocalAddr())
			wantData(t, await(t, done, "a datagram was sent"), "hello", "after a Wake that failed")
		},
		"WriteTo": func(t *testing.T, h *hooked, c *Conn, end func()) {
			h.writeTo.Store(&end)
			survive(t, "Send", func() { c.Send([]byte("x"), c.LocalAddr()) })
			h.writeTo.Store(nil)
		},
		"SetWriteDeadline": func(t *testing.T, h *hooked, c *Conn, end func()) {
			h.writeDeadline.Store(&end)
			survive(t, "Send", func() { c.Send([]byte("x"), c.LocalAddr()) })
			h.writeDeadline.Store(nil)
		},
	}
	for name, story := range stories {
		for how, end := range ends {
			t.Run(name+"/"+how, func(t *testing.T) {
				h := &hooked{PacketConn: udp4(t)}
				c := wrap(t, h)
				for range 3 { // what is left behind may add up
					story(t, h, c, end)
					if state, rings := c.state.Load(), len(c.bell); state == waiting || rings > 0 {
						t.Fatalf("after Receive the state is %d, and the bell has %d rings that nothing waits for", state, rings)
					}
					wantSound(t, c)
				}
			})
		}
	}
}
