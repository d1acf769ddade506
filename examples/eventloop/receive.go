package main

import (
	"errors"
	"net"
	"time"
)

// mostWaiting is how many lines may wait for the loop. More wait in the socket, as
// many as the system keeps.
const mostWaiting = 64

// receiveWaiter waits in Receive and nowhere else, which works everywhere. Whatever
// else there is to wait for has a goroutine, which puts what comes in into a bounded
// channel and ends the wait by Wake.
type receiveWaiter struct {
	*relay
	waiting chan line
}

func newReceiveWaiter(r *relay) (waiter, error) {
	w := receiveWaiter{r, make(chan line, mostWaiting)}
	go w.readLines()
	return w, nil
}

// readLines reads until the socket is closed. Other errors pass.
func (w receiveWaiter) readLines() {
	defer close(w.waiting)
	for {
		l, err := w.read()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			w.waiting <- l
			w.node.Wake() // when the line is there to be found
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
