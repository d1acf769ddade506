package main

import (
	"errors"
	"net"
	"time"
)

// mostWaiting is how many lines may wait for the loop. Further ones wait in the socket, as
// far as the system buffers them.
const mostWaiting = 64

// receiveWaiter waits only in Receive, which works on every system. Any other source has a
// goroutine that puts its input into a bounded channel and calls Wake.
type receiveWaiter struct {
	*relay
	waiting chan line
}

func newReceiveWaiter(r *relay) (waiter, error) {
	w := receiveWaiter{r, make(chan line, mostWaiting)}
	go w.readLines()
	return w, nil
}

// readLines reads until the socket is closed. Other errors are transient.
func (w receiveWaiter) readLines() {
	defer close(w.waiting)
	for {
		l, err := w.read()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			w.waiting <- l
			w.node.Wake() // after the line is in the channel
		}
	}
}

func (w receiveWaiter) wait(most time.Duration) error {
	_, err := w.node.Receive(most)
	for n := len(w.waiting); n > 0 && err == nil; n-- {
		err = w.say(<-w.waiting)
	}
	return err
}

func (w receiveWaiter) wake() { w.node.Wake() }

func (w receiveWaiter) close() {
	w.lines.Close()
	for range w.waiting { // until the reader has ended
	}
}
