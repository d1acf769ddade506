// Eventloop runs a node in the loop of a program that has another socket. Lines that arrive
// there, each a UDP datagram, are spread through the cluster; messages from the cluster go
// to the sender of the last line.
//
//	go run ./examples/eventloop -seed 127.0.0.1:7070 -lines 127.0.0.1:9090 -poller epoll
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 2 if the command line is wrong, 1 if the program fails.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return cli.Exit("eventloop", relayLines(ctx, args, stdout, stderr), stderr)
}

func relayLines(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	listen, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		return err
	}
	lines, seeds := listen, cli.Seeds{}
	flags := flag.NewFlagSet("eventloop", flag.ContinueOnError)
	flags.TextVar(&listen, "listen", listen, "`address` of the node; port 0 lets the system choose one")
	flags.TextVar(&lines, "lines", lines, "`address` to take lines at, by UDP")
	flags.Var(&seeds, "seed", "`addresses` of running nodes, separated by commas")
	wait := flags.Duration("wait", 10*time.Second, "how long a seed may take to answer; 0 for no limit")
	cluster := flags.String("cluster", "", "`name` of the cluster; nodes of other clusters are ignored")
	poller := flags.String("poller", "receive", "what waits for both sockets: receive or, on Linux, epoll")
	if err := cli.Parse(flags, args, stdout); err != nil {
		return err
	}
	newWaiter, ok := map[string]func(*relay) (waiter, error){"receive": newReceiveWaiter, "epoll": newEpollWaiter}[*poller]
	switch {
	case len(seeds) == 0:
		return cli.Usage("-seed is missing: the address of a node to join, e.g. -seed 127.0.0.1:7070")
	case !lines.IsValid():
		return cli.Usage("-lines needs an address, such as 127.0.0.1:9090")
	case *wait < 0:
		return cli.Usage("-wait %v is negative", *wait)
	case !ok:
		return cli.Usage("-poller %q is neither receive nor epoll", *poller)
	}

	ctx, stdout, stopPrinting := cli.Printing(ctx, stdout)
	defer stopPrinting()
	r := &relay{stdout: stdout, stderr: stderr}
	if r.lines, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(lines.AddrPort())); err != nil {
		return fmt.Errorf("cannot take lines at %v, choose another address with -lines: %w", lines, err)
	}
	defer r.lines.Close()
	node, joined, err := cli.NewNode(listen, r.hear, gossip.Config{Cluster: *cluster})
	if err != nil {
		return err
	}
	r.node = node
	defer node.Close()
	w, err := newWaiter(r)
	if err != nil {
		return err
	}
	defer w.close()
	ctx, stop := cli.Within(ctx, *wait, joined, seeds)
	defer stop()
	if err := seeds.Join(ctx, node, net.DefaultResolver.LookupNetIP); err != nil || ctx.Err() != nil {
		return err
	}
	fmt.Fprintf(stdout, "%v listens on %v, takes lines at %v\n", r.node.ID(), r.node.Address(), r.lines.LocalAddr())
	if err := loop(ctx, r.node, w); err != nil {
		return err
	}
	return cli.Cause(ctx)
}

// waiter waits for both sockets on behalf of the loop, and handles what came in.
type waiter interface {
	wait(most time.Duration) error
	wake() // ends a wait, or the next one; from any goroutine
	close()
}

// loop drives the node until ctx ends. Then Run waits for acknowledgements of the last messages,
// and says goodbye.
func loop(ctx context.Context, node *gossip.GossipService, w waiter) error {
	defer context.AfterFunc(ctx, w.wake)()
	turn := func(most time.Duration) error {
		wait, err := node.Tick()
		if err == nil {
			_, err = node.Send()
		}
		if err == nil {
			err = w.wait(min(wait, most))
		}
		return err
	}
	for ctx.Err() == nil {
		if err := turn(time.Hour); err != nil { // Tick allows less
			return err
		}
	}
	return node.Run(ctx)
}

// relay passes messages between the two sockets. It belongs to the goroutine of the loop.
type relay struct {
	node           *gossip.GossipService
	lines          *net.UDPConn
	last           netip.AddrPort // who sent the last line
	stdout, stderr io.Writer
}

// hear passes on a message from the cluster. The node calls it in the loop.
func (r *relay) hear(origin gossip.NodeID, payload []byte) {
	fmt.Fprintf(r.stdout, "%v says %q\n", origin, payload)
	if r.last.IsValid() {
		// An error is no worse than a datagram lost by the network.
		_, _ = r.lines.WriteToUDPAddrPort(payload, r.last)
	}
}

type line struct {
	text []byte
	from netip.AddrPort
}

// read reads the next line. Of one that is too long it reads enough to be refused.
func (r *relay) read() (line, error) {
	b := make([]byte, r.node.MaxPayload()+len("\r\n")+1)
	n, from, err := r.lines.ReadFromUDPAddrPort(b)
	return line{bytes.TrimRight(b[:n], "\r\n"), from}, err
}

// say spreads a line. An empty one only makes its sender the one to answer.
func (r *relay) say(l line) error {
	r.last = l.from
	if len(l.text) == 0 {
		return nil
	}
	err := r.node.SendData(l.text)
	if errors.Is(err, gossip.ErrQueueFull) || errors.Is(err, gossip.ErrTooLarge) {
		fmt.Fprintf(r.stderr, "eventloop: a line from %v is lost: %v\n", l.from, err)
		return nil
	}
	return err
}
