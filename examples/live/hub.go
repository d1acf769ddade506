package main

import (
	"encoding/json"
	"errors"
)

const (
	mostListeners = 16
	mostFrames    = 16 // that wait for one listener
)

// errCrowded means that no more listeners are accepted.
var errCrowded = errors.New("16 pages are open already: close one of them")

// hub passes frames to listeners and never waits for one: a listener that is too slow loses
// frames, and gets a snapshot when it has room again. It belongs to the goroutine of the
// loop.
type hub struct {
	listeners map[*listener]bool
}

// listener gets frames, as JSON, from a channel that is closed at the end.
type listener struct {
	frames chan []byte
	behind bool // has lost frames
}

// publish sends all listeners what changed.
func (h *hub) publish(t *trace) {
	f := t.take()
	if len(h.listeners) == 0 {
		return
	}
	news := encode(f)
	var all []byte // made for the first listener that needs it
	for l := range h.listeners {
		b := news
		if l.behind {
			if len(l.frames) == cap(l.frames) {
				continue
			}
			if all == nil {
				all = encode(t.snapshot())
			}
			b = all
		}
		select {
		case l.frames <- b:
			l.behind = false
		default:
			l.behind = true
		}
	}
}

// close ends all listeners.
func (h *hub) close() {
	for l := range h.listeners {
		close(l.frames)
	}
	h.listeners = nil
}

// listen adds a listener, which gets a snapshot first.
func (c *cluster) listen() (*listener, error) {
	l := &listener{frames: make(chan []byte, mostFrames), behind: true}
	err := c.do(func() error {
		if len(c.hub.listeners) >= mostListeners {
			return errCrowded
		}
		if c.hub.listeners == nil {
			c.hub.listeners = map[*listener]bool{}
		}
		c.hub.listeners[l] = true
		c.hub.publish(c.trace)
		return nil
	})
	return l, err
}

// forget removes a listener.
func (c *cluster) forget(l *listener) {
	// A cluster that has ended has no listeners.
	_ = c.do(func() error {
		delete(c.hub.listeners, l)
		return nil
	})
}

func encode(f frame) []byte {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // a frame has nothing that JSON cannot hold
	}
	return b
}
