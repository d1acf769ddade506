package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"example.com/gossip"
)

const (
	// mostUnwritten bounds the lines that wait to be written.
	mostUnwritten = 1024

	// unwrittenWait is how long a line waits for room among them. It is too short for
	// other nodes to suspect that this one is dead.
	unwrittenWait = time.Second
)

// output writes lines on a goroutine of its own, because their reader may be slow. At the
// bound the node waits, which slows down the nodes that send to it. If there is still no room
// after patience, the reader has stalled: then lines are dropped and counted until there is
// room again, so that the node can go on.
type output struct {
	raw       bool
	patience  time.Duration
	lines     chan []byte
	unwritten atomic.Int64  // lines that were received but not written yet, or dropped
	done      chan struct{} // closed when all is written, or writing failed
	err       error         // why writing failed; to be read after done
	stalled   bool
}

// newOutput starts to write to w. After an error it calls fail and writes no more.
func newOutput(w io.Writer, raw bool, fail func()) *output {
	o := &output{raw: raw, patience: unwrittenWait, lines: make(chan []byte, mostUnwritten), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		if o.err = o.write(w); o.err != nil {
			fail()
		}
	}()
	return o
}

// write writes all lines, flushing when none is waiting.
func (o *output) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	together := int64(0)
	for line := range o.lines {
		together++
		_, err := b.Write(line)
		if err == nil && len(o.lines) == 0 {
			err = b.Flush()
			o.unwritten.Add(-together)
			together = 0
		}
		if err != nil {
			return fmt.Errorf("cannot write: %w", err)
		}
	}
	return nil
}

// receive takes a message. It is the receiver of the node.
func (o *output) receive(origin gossip.NodeID, payload []byte) {
	var line []byte
	if o.raw {
		line = append(line, payload...)
	} else {
		line = appendEscaped(fmt.Appendf(line, "%v\t", origin), payload)
	}
	o.unwritten.Add(1)
	o.stalled = !o.put(append(line, '\n'))
}

// put passes a line to write, and reports whether there was room for it.
func (o *output) put(line []byte) bool {
	select {
	case o.lines <- line:
		return true
	default:
	}
	if o.stalled {
		return false
	}
	select {
	case o.lines <- line:
		return true
	case <-o.done:
		return false
	case <-time.After(o.patience):
		return false
	}
}

// close waits until all is written, but not much longer than until ctx ends. It returns how
// many lines are not written. receive must not be called any more.
func (o *output) close(ctx context.Context) (lost int64, err error) {
	close(o.lines)
	select {
	case <-o.done:
		return o.unwritten.Load(), o.err
	case <-ctx.Done():
	}
	select {
	case <-o.done:
		return o.unwritten.Load(), o.err
	case <-time.After(o.patience):
		return o.unwritten.Load(), nil
	}
}

// appendEscaped appends text with backslashes and everything that is not a printable
// character escaped as in a Go string, so that it can be read back. The result has no tab or
// newline.
func appendEscaped(b, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, text[0])
		case r == '\\' || !strconv.IsPrint(r):
			quoted := strconv.QuoteRune(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		default:
			b = append(b, text[:n]...)
		}
		text = text[n:]
	}
	return b
}
