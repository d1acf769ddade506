package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
)

// upkeep is the pace of the work beside the loop: joining seeds while the node is alone, and
// printing its status.
const upkeep = time.Second

// cat is a node between an input and an output.
type cat struct {
	options
	node   *gossip.GossipService
	joined func() bool // whether the node ever joined
	in     *input
	stderr io.Writer
}

// live makes the node and runs it until the input or ctx ends, or the output cannot be
// written.
func live(ctx context.Context, o options, stdin io.Reader, stdout, stderr io.Writer) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	out := newOutput(stdout, o.raw, stop)
	node, joined, err := cli.NewNode(o.listen, out.receive, gossip.Config{
		Cluster: o.cluster, Keys: o.keys, Spread: o.spread, SkipHistory: o.fresh,
	})
	if err != nil {
		return err
	}
	defer node.Close()
	in := newInput(node, o.direct, stderr)
	c := &cat{options: o, node: node, joined: joined, in: in, stderr: stderr}
	err = c.work(working, stdin)
	if lost, unwritten := out.close(ctx); unwritten != nil {
		return unwritten
	} else if lost > 0 {
		return fmt.Errorf("%d lines were not printed: nobody read the output", lost)
	}
	return err
}

// work joins the cluster, turns the loop and says goodbye.
func (c *cat) work(ctx context.Context, stdin io.Reader) error {
	ctx, stop := cli.Within(ctx, c.wait, c.joined, c.seeds)
	defer stop()
	var helpers sync.WaitGroup
	if len(c.seeds) > 0 {
		helpers.Go(func() { c.keepJoined(ctx) })
	} else if err := c.node.Join(); err != nil {
		return err
	} else {
		fmt.Fprintf(c.stderr, "gossipcat: %v listens on %v\n", c.node.ID(), c.node.Address())
	}
	if c.status {
		helpers.Go(func() { c.tellStatus(ctx) })
	}
	read := make(chan error, 1)
	go func() { // nothing waits for it, because a Read cannot be interrupted
		read <- c.in.speak(ctx, stdin)
		c.node.Wake()
	}()
	err := c.loop(ctx, read)
	if err == nil {
		err = cli.Cause(ctx)
	}
	stop()
	helpers.Wait() // so that nobody joins again after Leave
	if left := cli.Leave(c.node); err == nil {
		err = left
	}
	return err
}

// loop drives the node until ctx ends or, without -k, the input has ended and all its lines
// are acknowledged.
func (c *cat) loop(ctx context.Context, read <-chan error) error {
	defer context.AfterFunc(ctx, c.node.Wake)()
	var refused error
	var end time.Time // of the input
	for ctx.Err() == nil {
		select {
		case refused = <-read:
			if refused != nil && !errors.Is(refused, errRefused) {
				return refused
			}
			end = time.Now()
		default:
		}
		switch atEnd := !end.IsZero() && !c.keep; {
		case atEnd && c.acknowledged():
			return refused
		case atEnd && c.tooLate(end):
			return fmt.Errorf("the last lines were not acknowledged in %v: some nodes may lack them", c.linger)
		}
		if err := c.turn(); err != nil {
			return err
		}
	}
	return refused
}

// turn is one turn of the loop.
func (c *cat) turn() error {
	wait, err := c.node.Tick()
	if err == nil {
		_, err = c.node.Send()
	}
	if err == nil {
		c.in.hasTurned()
		_, err = c.node.Receive(wait)
	}
	return err
}

// acknowledged reports, after the end of the input, whether all its lines have arrived where
// the node sent them, or, if there were none, whether the node has joined.
//
// A copy leaves the queue when it is acknowledged, but also when it is given up, and Hellos
// are given up too. So if anything was given up, there must also be a member, and no probe
// may be unanswered.
func (c *cat) acknowledged() bool {
	s := c.node.Stats()
	if s.Sent == 0 {
		return c.node.State() == gossip.StateConnected
	}
	allAnswered := s.QueuedControl == 0 && s.Members > 0 && !c.in.direct
	return s.QueuedData == 0 && (s.GivenUp == c.in.givenUp || allAnswered)
}

// tooLate reports whether the last lines have waited longer than -linger. If none was sent
// the node has not joined yet, and -wait is the limit.
func (c *cat) tooLate(end time.Time) bool {
	return c.linger > 0 && c.node.Stats().Sent > 0 && time.Since(end) >= c.linger
}

// keepJoined joins the seeds until ctx ends, and prints what is wrong with them whenever that
// changes.
func (c *cat) keepJoined(ctx context.Context) {
	tick := time.NewTicker(upkeep)
	defer tick.Stop()
	told := ""
	c.seeds.KeepJoined(ctx, c.node, net.DefaultResolver.LookupNetIP, tick.C, func(err error) {
		if text := err.Error(); text != told {
			told = text
			fmt.Fprintf(c.stderr, "gossipcat: %s\n", text)
		}
	})
}

// tellStatus prints the status of the node whenever it has changed, until ctx ends.
func (c *cat) tellStatus(ctx context.Context) {
	tick := time.NewTicker(upkeep)
	defer tick.Stop()
	for told := ""; ; {
		s := c.node.Stats()
		text := fmt.Sprintf("%v, %d members, %d sent, %d received, %d waiting", c.node.State(), s.Members, s.Sent, s.Delivered, s.QueuedData)
		if text != told {
			told = text
			fmt.Fprintf(c.stderr, "gossipcat: %s\n", text)
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done(): // print once more
		}
	}
}
