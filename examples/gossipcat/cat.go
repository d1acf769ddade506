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
	joined func() bool   // whether the node ever joined
	began  chan struct{} // closed when the node has begun to join
	in     *input
	stderr io.Writer
}

// live makes the node and runs it until the input or ctx ends, or the output cannot be
// written.
func live(ctx context.Context, o options, stdin io.Reader, stdout, stderr io.Writer) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	out := newOutput(stdout, o.raw, stop)
	c := &cat{options: o, began: make(chan struct{}), stderr: stderr}
	begin := sync.OnceFunc(func() { close(c.began) })
	var err error
	c.node, c.joined, err = cli.NewNode(o.listen, out.receive, gossip.Config{
		Cluster: o.cluster, Keys: o.keys, Spread: o.spread, SkipHistory: o.fresh,
		OnStateChange: func(_, _ gossip.State) { begin() },
	})
	if err != nil {
		return err
	}
	defer c.node.Close()
	c.in = &input{node: c.node, alone: o.direct && len(o.seeds) == 0, stderr: stderr}
	err = c.work(working, stdin)
	if lost, unwritten := out.close(ctx); unwritten != nil {
		return unwritten
	} else if lost > 0 {
		return fmt.Errorf("%d lines were not printed: nobody read the output", lost)
	}
	return err
}

// work runs the loop, joins the cluster and talks. In the end Run says goodbye.
func (c *cat) work(ctx context.Context, stdin io.Reader) error {
	ctx, stop := cli.Within(ctx, c.wait, c.joined, c.seeds)
	defer stop()
	looping, endLoop := context.WithCancel(context.WithoutCancel(ctx))
	defer endLoop()
	var loop, helpers sync.WaitGroup
	var failed error
	loop.Go(func() {
		failed = c.node.Run(looping)
		stop()
	})
	err := c.talk(ctx, stdin, &helpers)
	if err == nil {
		err = cli.Cause(ctx)
	}
	stop()
	helpers.Wait() // so that nobody joins again after the goodbye
	endLoop()
	loop.Wait()
	if err == nil {
		err = failed
	}
	return err
}

// talk joins the cluster and spreads the input until ctx ends or, without -k, all of it is
// acknowledged.
func (c *cat) talk(ctx context.Context, stdin io.Reader, helpers *sync.WaitGroup) error {
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
		select {
		case <-c.began:
			read <- c.in.speak(ctx, stdin)
		case <-ctx.Done():
		}
	}()
	select {
	case <-ctx.Done():
		return nil
	case refused := <-read:
		if refused != nil && !errors.Is(refused, errRefused) {
			return refused
		}
		if c.keep {
			<-ctx.Done()
		} else if err := c.handOver(ctx); err != nil {
			return err
		}
		return refused
	}
}

// handOver waits, after the end of the input, until all its lines are acknowledged or, if there
// were none, until the node has joined, for which -wait is the limit.
func (c *cat) handOver(ctx context.Context) error {
	switch {
	case c.in.said == 0 && len(c.seeds) == 0:
		return nil
	case c.in.said == 0:
		return unlessOver(ctx, c.node.WaitForMember(ctx))
	}
	limit, cancel := ctx, func() {}
	if c.linger > 0 {
		limit, cancel = context.WithTimeout(ctx, c.linger)
	}
	defer cancel()
	err := c.node.WaitForAcks(limit)
	switch {
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the last lines were not acknowledged in %v: some nodes may lack them", c.linger)
	case err == nil && c.direct && c.node.Stats().GivenUp > c.in.givenUp:
		return errors.New("the last lines were not acknowledged: the node may lack them")
	}
	return unlessOver(ctx, err)
}

// unlessOver returns the error of a wait, unless ctx has ended it.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
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
