//go:build unix && !aix

package transport

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// The pauses between attempts to send, which grow from the least to the most. Waiting for
// the poller would take longer: Linux reports room only when half of the buffer is free, and
// macOS may never do so (go.dev/issue/73919).
const (
	leastPause = 50 * time.Microsecond
	mostPause  = time.Millisecond
)

// errFamily is the error of an IPv6 address on an IPv4 socket.
var errFamily = errors.New("an IPv6 address, and the socket is for IPv4")

// outlet is what writeSocket and its step share, as socket is for reading.
type outlet struct {
	raw  syscall.RawConn
	step func(fd uintptr) (done bool)
	is4  bool                  // the family of the socket is IPv4, else IPv6
	to4  syscall.SockaddrInet4 // space for the recipient
	to6  syscall.SockaddrInet6

	b   []byte
	to  syscall.Sockaddr // &to4 or &to6
	err error
}

// useOutlet makes Send write to c.udp with system calls of its own.
func (c *Conn) useOutlet(raw syscall.RawConn) error {
	var name syscall.Sockaddr
	var failed error
	err := raw.Control(func(fd uintptr) { name, failed = syscall.Getsockname(int(fd)) })
	if err := errors.Join(err, os.NewSyscallError("getsockname", failed)); err != nil {
		return err
	}
	_, is4 := name.(*syscall.SockaddrInet4)
	c.outlet.raw, c.outlet.step, c.outlet.is4 = raw, c.outlet.sendto, is4
	c.write = c.writeSocket
	return nil
}

// writeSocket sends one datagram, with a single system call if there is room for it.
func (c *Conn) writeSocket(b []byte, to netip.AddrPort) error {
	o := &c.outlet
	switch addr := to.Addr(); {
	case addr.Zone() != "":
		// The net package remembers the index of each zone. Its deadline would end later
		// attempts before they begin.
		defer c.udp.SetWriteDeadline(time.Time{})
		return c.writePacket(b, to)
	case !o.is4:
		o.to6.Addr, o.to6.Port = addr.As16(), int(to.Port())
		o.to = &o.to6
	case addr.Is4():
		o.to4.Addr, o.to4.Port = addr.As4(), int(to.Port())
		o.to = &o.to4
	default:
		return errFamily
	}
	o.b = b
	err := c.writeWhenRoom()
	o.b = nil
	return err
}

// writeWhenRoom tries until there is room for the datagram or the burst may not wait.
func (c *Conn) writeWhenRoom() error {
	o := &c.outlet
	for pause := leastPause; ; pause = min(2*pause, mostPause) {
		if err := o.raw.Write(o.step); err != nil {
			return err
		}
		if o.err != syscall.EAGAIN {
			return os.NewSyscallError("sendto", o.err)
		}
		if c.waitLeft <= 0 {
			return errNoRoom
		}
		start := time.Now()
		time.Sleep(min(pause, c.waitLeft))
		c.waitLeft -= time.Since(start)
	}
}

// sendto tries once to send the datagram. It leaves the error in the outlet's field.
func (o *outlet) sendto(fd uintptr) (done bool) {
	for {
		o.err = syscall.Sendto(int(fd), o.b, syscall.MSG_DONTWAIT, o.to)
		if o.err != syscall.EINTR {
			return true
		}
	}
}
