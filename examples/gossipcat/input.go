package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/gossip"
)

// errRefused means that the input had lines that were too long.
var errRefused = errors.New("lines were refused")

// input spreads lines from a goroutine of its own, because reading them may take for ever.
// It does not read on while there is no room for a line.
type input struct {
	node    *gossip.GossipService
	alone   bool   // the lines are for one node that need not be a member, and no member is expected
	said    int    // lines that were sent; to be read at the end
	givenUp uint64 // Stats.GivenUp before the last of them
	stderr  io.Writer
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

// say spreads a line, as soon as there is a node to send it to and room for it. It gives up
// when ctx ends.
func (in *input) say(ctx context.Context, line []byte) error {
	if !in.alone {
		if err := in.node.WaitForMember(ctx); err != nil {
			return unlessOver(ctx, err)
		}
	}
	in.givenUp = in.node.Stats().GivenUp
	err := in.node.SendData(line)
	for errors.Is(err, gossip.ErrQueueFull) {
		if err = in.node.WaitForRoom(ctx); err == nil {
			err = in.node.SendData(line)
		}
	}
	if err == nil {
		in.said++
	}
	return unlessOver(ctx, err)
}
