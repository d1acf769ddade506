package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"example.com/gossip"
)

// errRefused means that the input had lines that were too long.
var errRefused = errors.New("lines were refused")

// mostAcquaintance bounds the time in which each line waits for the one before it, see
// heard.
const mostAcquaintance = 2 * time.Second

// input spreads lines from a goroutine of its own, because reading them may take for ever.
// It does not read on while there is no room for a line.
type input struct {
	node    *gossip.GossipService
	direct  bool          // to one node, which need not be a member
	turned  chan struct{} // not empty when the loop has turned
	givenUp uint64        // Stats.GivenUp before the last line; to be read at the end
	stderr  io.Writer

	first      time.Time // when the first line was sent, since the node had no members
	known      int       // members, when the last line was sent
	acquainted bool      // with the members, see heard
}

func newInput(node *gossip.GossipService, direct bool, stderr io.Writer) *input {
	return &input{node: node, direct: direct, turned: make(chan struct{}, 1), stderr: stderr}
}

// hasTurned must be called whenever the loop has turned.
func (in *input) hasTurned() {
	select {
	case in.turned <- struct{}{}:
	default: // it has not been noticed yet
	}
}

// speak spreads all lines of r.
func (in *input) speak(ctx context.Context, r io.Reader) error {
	b := bufio.NewReaderSize(r, 64<<10)
	var refused error
	for n := 1; ; n++ {
		line, length, err := nextLine(b)
		switch {
		case err == io.EOF:
			return refused
		case err != nil:
			return fmt.Errorf("cannot read line %d: %w", n, err)
		case length > in.node.MaxPayload():
			fmt.Fprintf(in.stderr, "gossipcat: line %d has %d bytes, a message has %d at most: not sent\n", n, length, in.node.MaxPayload())
			refused = errRefused
			continue
		}
		if err := in.say(ctx, line); err != nil {
			return err
		}
	}
}

// nextLine returns a line without its newline, and its length. If the line does not fit in
// b, only its length is valid. The last line may lack its newline.
func nextLine(b *bufio.Reader) (line []byte, length int, err error) {
	for {
		line, err = b.ReadSlice('\n')
		length += len(line)
		switch {
		case err == nil:
			return line[:len(line)-1], length - 1, nil
		case err == io.EOF && length > 0:
			return line, length, nil
		case err != bufio.ErrBufferFull:
			return nil, 0, err
		}
	}
}

// say spreads a line, as soon as there is a node to send it to and room for it: both can only
// change when the loop turns.
func (in *input) say(ctx context.Context, line []byte) error {
	for {
		if in.heard() {
			before := in.node.Stats()
			err := in.node.SendData(line)
			if !errors.Is(err, gossip.ErrQueueFull) {
				in.said(before)
				return err
			}
		}
		select {
		case <-in.turned:
		case <-ctx.Done():
			return nil
		}
	}
}

// said records the stats from before a line was sent.
func (in *input) said(before gossip.Stats) {
	in.givenUp, in.known = before.GivenUp, before.Members
	if in.first.IsZero() {
		in.first = time.Now()
	}
}

// heard reports whether there is a node to send the next line to.
//
// At first there is only the seed, and then there are members known by hearsay, to which a
// node sends no more than a few messages until they answer. Further ones are left to repair,
// which a stream outruns. So each line waits until the line before it is acknowledged, until
// meanwhile no new member has turned up; but only for a limited time, for some members may
// be dead.
func (in *input) heard() bool {
	s := in.node.Stats()
	switch {
	case in.direct:
		return in.node.State() == gossip.StateConnected
	case s.Members == 0:
		in.first, in.acquainted = time.Time{}, false // start over
		return false
	case in.acquainted, in.first.IsZero():
		return true
	case time.Since(in.first) >= mostAcquaintance:
		in.acquainted = true
	case s.QueuedData > 0:
		return false
	default:
		in.acquainted = s.Members == in.known && s.QueuedControl == 0
	}
	return true
}
