// Package transport moves datagrams between a UDP socket and a caller's loop.
//
// A Conn starts no goroutine. One goroutine, the loop, calls Receive; every
// other goroutine may send, and may end the wait of the loop with Wake.
//
//	for {
//		n, from, err := conn.Receive(buf, untilNextTimer)
//		switch {
//		case err == nil:
//			handle(buf[:n], from)
//		case errors.Is(err, net.ErrClosed):
//			return
//		case err != transport.ErrNothing:
//			failures++
//		}
//		runTimers()
//		conn.BeginBurst()
//		sendWhatIsDue()
//	}
//
// The files: transport.go opens and closes; send.go sends; receive.go waits and wakes;
// socket*.go read and write a UDP socket with system calls of their own, packet*.go use
// everything else through net.PacketConn.
package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrNothing is returned by Receive, never wrapped, when no datagram was waiting, none
// arrived in time, or Wake ended the wait. It does not indicate a failure.
var ErrNothing = errors.New("transport: nothing to receive")

// ErrUnusable is wrapped by Wrap's error for a PacketConn that cannot exchange datagrams with
// any IP address and port: one that is nil, connected to one peer, or of another network.
var ErrUnusable = errors.New("transport: unusable PacketConn")

// Conn is a datagram socket for one receiving loop. It is made by Listen or
// Wrap; the zero Conn is not usable.
//
// One goroutine at a time may call Receive. All other methods may be called
// from any goroutine at any time, even while Receive waits and after Close.
type Conn struct {
	pc     net.PacketConn
	udp    *net.UDPConn // pc if it is a UDP socket of this process, else nil
	local  netip.AddrPort
	closed atomic.Bool

	state atomic.Uint32 // idle, waiting or woken; see receive.go
	bell  chan struct{} // tells a waiting Receive that its waker has finished

	sending  sync.Mutex                              // guards the next four, held for one datagram
	write    func(b []byte, to netip.AddrPort) error // writeSocket or writePacket
	outlet   outlet                                  // what writeSocket needs
	inBurst  bool                                    // BeginBurst has been called
	waitLeft time.Duration                           // of the burst's sendWait, not positive when used up

	// The rest belongs to the goroutine that is in Receive.
	read     func(buf []byte) (int, netip.AddrPort, error) // readSocket or readPacket
	socket   socket                                        // what readSocket needs
	maxWait  time.Duration                                 // as given to Receive, not negative
	until    time.Time                                     // end of the wait, zero if it has not begun
	entered  bool                                          // this Receive has set state to waiting
	wasWoken bool                                          // this Receive has used up a Wake
}

// Listen opens a UDP socket on addr. Port 0 lets the system choose one;
// LocalAddr tells which. An IPv4 address, even if mapped into IPv6, takes IPv4
// datagrams only; the IPv6 address [::] takes both where the system can.
//
// readBuffer is the requested size, in bytes, of the socket's receive buffer; zero or less
// leaves the default of the system. It is a hint: systems cap it, some silently, and a
// socket with a smaller buffer still works, so a refusal is no error.
func Listen(addr netip.AddrPort, readBuffer int) (*Conn, error) {
	addr = unmap(addr)
	if !addr.IsValid() {
		return nil, fmt.Errorf("transport: listen on %v: not an address", addr)
	}
	network := "udp"
	if addr.Addr().Is4() {
		network = "udp4"
	}
	udp, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("transport: listen on %v: %w", addr, err)
	}
	c, err := Wrap(udp, readBuffer)
	if err != nil {
		udp.Close()
		return nil, err
	}
	return c, nil
}

// Wrap makes a Conn of pc and takes it over: nobody else may read from pc or set its
// deadlines, and Close closes it. After an error pc still belongs to the caller.
//
// It is ErrUnusable if pc is nil, a *net.UnixConn or *net.IPConn, or has a RemoteAddr that is
// not nil, as after net.DialUDP.
//
// A *net.UDPConn is used with as few system calls as possible. Any other PacketConn
// is used through its own methods only, so a wrapper that drops or changes
// datagrams is not bypassed. Its deadlines must work as the net package describes:
//   - Setting the read deadline ends a ReadFrom that is waiting, with an error that wraps
//     os.ErrDeadlineExceeded.
//   - The write deadline bounds WriteTo. All the time that WriteTo takes counts as waiting
//     for room, and the first write of a burst that times out is tried again for 10 ms. If
//     SetWriteDeadline fails, Send takes as long as WriteTo does.
//
// Such a Conn, and every Conn on Windows, has no true non-blocking read: when nothing is there, a
// Receive that should return at once, or sooner than in a millisecond, takes up to a millisecond.
//
// readBuffer is as for Listen, and is ignored if pc has no SetReadBuffer.
func Wrap(pc net.PacketConn, readBuffer int) (*Conn, error) {
	if err := checkUsable(pc); err != nil {
		return nil, err
	}
	// An earlier deadline would hide datagrams, or end every Send.
	if err := pc.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("transport: wrap %T: %w", pc, err)
	}
	_ = pc.SetWriteDeadline(time.Time{}) // a PacketConn without it is used all the same
	c := &Conn{
		pc:    pc,
		local: addrPortOf(pc.LocalAddr()),
		bell:  make(chan struct{}, 1),
	}
	c.read, c.write = c.readPacket, c.writePacket
	if udp, ok := pc.(*net.UDPConn); ok {
		c.udp = udp
		if err := c.useSocket(); err != nil {
			return nil, fmt.Errorf("transport: wrap %v: %w", c.local, err)
		}
	}
	if s, ok := pc.(interface{ SetReadBuffer(bytes int) error }); ok && readBuffer > 0 {
		_ = s.SetReadBuffer(readBuffer)
	}
	return c, nil
}

// checkUsable returns an error if pc cannot send to and receive from any address.
func checkUsable(pc net.PacketConn) error {
	if pc == nil || pc == net.PacketConn((*net.UDPConn)(nil)) {
		return fmt.Errorf("%w: it is nil", ErrUnusable)
	}
	switch pc := pc.(type) {
	case *net.UnixConn, *net.IPConn:
		return fmt.Errorf("%w: a %T has no UDP port; use a *net.UDPConn", ErrUnusable, pc)
	case interface{ RemoteAddr() net.Addr }:
		if peer := pc.RemoteAddr(); peer != nil && peer != net.Addr((*net.UDPAddr)(nil)) {
			return fmt.Errorf("%w: the %T is connected to %v; use net.ListenUDP, not net.DialUDP", ErrUnusable, pc, peer)
		}
	}
	if at := pc.LocalAddr(); !addrPortOf(at).IsValid() {
		return fmt.Errorf("%w: the LocalAddr of the %T is %v, which is no IP address and port", ErrUnusable, pc, at)
	}
	return nil
}

// LocalAddr returns the address the socket was bound to when the Conn was
// made, an IPv4 address never mapped into IPv6.
func (c *Conn) LocalAddr() netip.AddrPort {
	return c.local
}

// SyscallConn returns the raw connection of the socket, for options that this package does
// not set. It is an error if a wrapped PacketConn has no SyscallConn. Reading through it
// takes datagrams away from Receive.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	s, ok := c.pc.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("transport: %T has no SyscallConn", c.pc)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("transport: system connection of %v: %w", c.local, err)
	}
	return raw, nil
}

// Close closes the socket. A Receive that is waiting, and every later Receive
// and Send, return an error that wraps net.ErrClosed, even while the Close of a wrapped
// PacketConn takes its time. Only the first Close does anything; later ones return nil.
func (c *Conn) Close() (err error) {
	if c.closed.Swap(true) {
		return nil
	}
	// Deferred because Wake may panic in the PacketConn.
	defer func() {
		if err = c.pc.Close(); err != nil {
			err = fmt.Errorf("transport: close %v: %w", c.local, err)
		}
	}()
	// This comes first because the Close of a PacketConn may wait for its ReadFrom. It also
	// ends a pause of Receive after an error, which closing the socket does not.
	c.Wake()
	return nil
}

// unmap returns a, as an IPv4 address if it is one mapped into IPv6.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// addrPortOf returns a as an AddrPort, or the zero AddrPort if it is not an IP address and port.
func addrPortOf(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case nil:
	case *net.UDPAddr:
		ap = a.AddrPort()
	default:
		ap, _ = netip.ParseAddrPort(a.String()) // zero after an error
	}
	return unmap(ap)
}
