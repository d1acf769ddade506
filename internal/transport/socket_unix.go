//go:build unix && !aix && !(linux && (amd64 || arm64))

package transport

import (
	"errors"
	"net/netip"
	"syscall"
)

// sockaddr is not needed: syscall.Recvfrom allocates the sender.
type sockaddr struct{}

// recvfrom reads one datagram into the socket's fields without waiting.
func (s *socket) recvfrom(fd uintptr) syscall.Errno {
	n, from, err := syscall.Recvfrom(int(fd), s.buf, syscall.MSG_DONTWAIT)
	if err != nil {
		var errno syscall.Errno
		if !errors.As(err, &errno) {
			errno = syscall.EIO
		}
		return errno
	}
	s.n = n
	switch from := from.(type) {
	case *syscall.SockaddrInet4:
		s.from = netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port))
	case *syscall.SockaddrInet6:
		s.from = netip.AddrPortFrom(ipv6Addr(from.Addr, from.ZoneId), uint16(from.Port))
	}
	return 0
}
