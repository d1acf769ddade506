//go:build unix && !aix

package transport

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

// socket is what readSocket and its step share. They communicate through fields so that
// one closure serves all reads and none is allocated.
type socket struct {
	raw  syscall.RawConn
	step func(fd uintptr) (done bool)
	name sockaddr // space for the system to store the sender

	buf  []byte
	n    int
	from netip.AddrPort
	err  error
}

// useSocket makes Receive and Send use c.udp with system calls of their own.
func (c *Conn) useSocket() error {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return err
	}
	c.socket.raw, c.socket.step = raw, c.step
	c.read = c.readSocket
	return c.useOutlet(raw)
}

// readSocket reads one datagram, with a single system call if one is waiting. It sets a
// deadline only if it has to wait.
func (c *Conn) readSocket(buf []byte) (int, netip.AddrPort, error) {
	s := &c.socket
	s.buf = buf
	err := s.raw.Read(s.step)
	s.buf = nil
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	return s.n, s.from, s.err
}

// step tries to read from fd. When it returns false the runtime parks the goroutine until
// there may be a datagram and calls it again, or gives up because of the deadline or Close.
func (c *Conn) step(fd uintptr) (done bool) {
	s := &c.socket
	s.n, s.from, s.err = 0, netip.AddrPort{}, nil
	for {
		errno := s.recvfrom(fd)
		switch errno {
		case 0:
			return true
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			if c.entered {
				return false
			}
			entered := false
			if c.maxWait > 0 {
				entered, s.err = c.enterWait()
			}
			if !entered && s.err == nil {
				s.err = ErrNothing
			}
			return !entered
		default:
			s.err = os.NewSyscallError("recvfrom", errno)
			return true
		}
	}
}

// ipv6Addr returns the address b with a zone made of the scope that the system reports: the
// index of the interface for a link-local address, otherwise zero.
func ipv6Addr(b [16]byte, scope uint32) netip.Addr {
	addr := netip.AddrFrom16(b).Unmap()
	if scope == 0 {
		return addr
	}
	// Asking for the name costs a few system calls, but only for link-local senders.
	ifi, err := net.InterfaceByIndex(int(scope))
	if err != nil {
		return addr.WithZone(strconv.FormatUint(uint64(scope), 10))
	}
	return addr.WithZone(ifi.Name)
}
