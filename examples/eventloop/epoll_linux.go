package main

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// epollWaiter waits for everything with the system's poller, on one goroutine.
//
// The node cannot end such a wait: its Wake, and SendData on another goroutine, end only one
// in Receive. So there is a bell. After SendData on another goroutine call wake; otherwise
// the message waits for the next turn, at most a TickInterval.
type epollWaiter struct {
	*relay
	fd           int
	handlers     map[int32]func() error
	bell, string *os.File // the ends of a pipe
	rung         atomic.Bool
}

func newEpollWaiter(r *relay) (waiter, error) {
	w := &epollWaiter{relay: r, handlers: make(map[int32]func() error)}
	var err error
	if w.fd, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if w.bell, w.string, err = os.Pipe(); err == nil {
		err = errors.Join(w.watch(r.node, w.receive), w.watch(r.lines, w.readLine), w.watch(w.bell, w.answer))
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// watch makes wait call handler when c is readable, and again while it stays readable, so a
// handler need not read everything.
func (w *epollWaiter) watch(c syscall.Conn, handler func() error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		w.handlers[int32(fd)] = handler
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
		refused = syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_ADD, int(fd), &event)
	})
	return errors.Join(err, os.NewSyscallError("epoll_ctl", refused))
}

func (w *epollWaiter) wait(most time.Duration) error {
	var events [3]syscall.EpollEvent
	n, err := syscall.EpollWait(w.fd, events[:], millis(most))
	if err != nil && err != syscall.EINTR { // if a signal ends it, an extra turn is harmless
		return os.NewSyscallError("epoll_wait", err)
	}
	for _, e := range events[:max(n, 0)] {
		if err := w.handlers[e.Fd](); err != nil {
			return err
		}
	}
	return nil
}

// millis rounds up: rounded down, the loop would spin for the last fraction of a millisecond.
func millis(d time.Duration) int { return int((d + time.Millisecond - 1) / time.Millisecond) }

func (w *epollWaiter) receive() error {
	_, err := w.node.Receive(0)
	return err
}

// readLine sets a deadline, in case there is nothing to read after all. One in the past
// would hide even a datagram that is there.
func (w *epollWaiter) readLine() error {
	_ = w.lines.SetReadDeadline(time.Now().Add(time.Millisecond))
	if l, err := w.read(); err == nil {
		return w.say(l)
	}
	return nil // nothing was there, or the error concerns one datagram
}

// wake rings the bell, unless it rings already.
func (w *epollWaiter) wake() {
	if !w.rung.Swap(true) {
		_, _ = w.string.Write([]byte{0}) // fails only when closed
	}
}

// answer stops the bell, before the loop checks why it rang.
func (w *epollWaiter) answer() error {
	_, err := w.bell.Read([]byte{0})
	w.rung.Store(false)
	return err
}

func (w *epollWaiter) close() {
	syscall.Close(w.fd)
	w.bell.Close()
	w.string.Close()
}
