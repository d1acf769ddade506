package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
)

// The escape sequences of terminals that a view needs: all know them.
const (
	viewBegins = "\x1b[?1049h\x1b[?25l" // another screen, no cursor
	viewEnds   = "\x1b[?25h\x1b[?1049l"
	fromTop    = "\x1b[H"
	endOfLine  = "\x1b[K" // clear what the line before left there
	endOfView  = "\x1b[J"
)

// watch makes a node and shows it until ctx ends, or standard output cannot be written.
func watch(ctx context.Context, o options, stdout, stderr io.Writer) error {
	node, joined, err := cli.NewNode(o.listen, func(gossip.NodeID, []byte) {}, gossip.Config{Cluster: o.cluster, Keys: o.keys, SkipHistory: o.fresh})
	if err != nil {
		return err
	}
	defer node.Close()
	v := &top{node: node, w: stdout}
	if _, _, terminal := terminalSize(stdout); terminal {
		stderr = &v.note
	}
	ctx, stop := cli.Within(ctx, o.wait, joined, o.seeds)
	defer stop()
	looping, endLoop := context.WithCancel(context.WithoutCancel(ctx))
	defer endLoop()
	var loop, helpers sync.WaitGroup
	var failed error
	loop.Go(func() {
		failed = node.Run(looping)
		stop()
	})
	if len(o.seeds) > 0 {
		helpers.Go(func() {
			tick := time.NewTicker(upkeep)
			defer tick.Stop()
			o.seeds.KeepJoined(ctx, node, net.DefaultResolver.LookupNetIP, tick.C, func(err error) { fmt.Fprintf(stderr, "gossipcat: %v\n", err) })
		})
	} else {
		err = node.Join()
	}
	if err == nil {
		err = v.run(ctx)
	}
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

// top shows one node once a second: on a terminal as a view that fills it, elsewhere as a line.
type top struct {
	node *gossip.GossipService
	w    io.Writer
	note note // the last line on standard error, which the view would hide
}

// run shows the node until ctx ends, or w cannot be written.
func (v *top) run(ctx context.Context) error {
	tick := time.NewTicker(upkeep)
	defer tick.Stop()
	_, _, terminal := terminalSize(v.w)
	if terminal {
		io.WriteString(v.w, viewBegins)
		defer io.WriteString(v.w, viewEnds)
	}
	for before := v.look(time.Now()); ; {
		now := v.look(time.Now())
		text := now.line(before) + "\n"
		if terminal {
			columns, rows, _ := terminalSize(v.w)
			text = fromTop + strings.Join(now.view(before, v.note.String(), columns, rows), endOfLine+"\n") + endOfLine + endOfView
		}
		if _, err := io.WriteString(v.w, text); err != nil {
			return fmt.Errorf("cannot write: %w", err)
		}
		before = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// note keeps the last line that was written to it.
type note struct {
	mu   sync.Mutex
	text string
}

func (n *note) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.text = strings.TrimSpace(string(b)); !utf8.ValidString(n.text) {
		n.text = fmt.Sprintf("%q", n.text)
	}
	return len(b), nil
}

func (n *note) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text
}
