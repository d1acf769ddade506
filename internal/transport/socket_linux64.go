//go:build linux && (amd64 || arm64)

package transport

import (
	"math/bits"
	"net/netip"
	"syscall"
	"unsafe"
)

// sockaddr is large enough for a sender in either family.
type sockaddr = syscall.RawSockaddrInet6

// recvfrom reads one datagram into the socket's fields without waiting. Unlike
// syscall.Recvfrom it does not allocate.
func (s *socket) recvfrom(fd uintptr) syscall.Errno {
	s.name.Family = syscall.AF_UNSPEC
	size := uint32(unsafe.Sizeof(s.name))
	n, _, errno := syscall.Syscall6(syscall.SYS_RECVFROM, fd,
		uintptr(unsafe.Pointer(unsafe.SliceData(s.buf))), uintptr(len(s.buf)),
		syscall.MSG_DONTWAIT,
		uintptr(unsafe.Pointer(&s.name)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return errno
	}
	s.n = int(n)
	// The port has the same place in both families, in network byte order, which is the
	// reverse of the byte order of these processors.
	port := bits.ReverseBytes16(s.name.Port)
	switch s.name.Family {
	case syscall.AF_INET:
		name4 := (*syscall.RawSockaddrInet4)(unsafe.Pointer(&s.name))
		s.from = netip.AddrPortFrom(netip.AddrFrom4(name4.Addr), port)
	case syscall.AF_INET6:
		s.from = netip.AddrPortFrom(ipv6Addr(s.name.Addr, s.name.Scope_id), port)
	}
	return 0
}
