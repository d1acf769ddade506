// Live shows a cluster at work: it runs many nodes in one process and serves a page that
// draws them on their ring, the copies of a message on their way, and how fast it reaches
// all nodes. From the page one can send messages, crash and restart nodes, lose datagrams
// and partition the network. A first message is sent by itself once all nodes have joined.
//
//	go run ./examples/live
//
// and open http://127.0.0.1:8080. A thousand nodes share a simulated network, slow enough
// to follow by eye;
//
//	go run ./examples/live -real
//
// runs 64 on real sockets of the loopback interface, as fast as they are.
//
// All loops turn on one goroutine: network.go is the net.PacketConn that makes this
// possible, cluster.go the loop of loops. Nodes are used only through what package gossip
// exports; trace.go reads the datagrams on their way.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
)

const (
	mostNodes     = 2000            // for one goroutine that turns all their loops
	mostRealNodes = 256             // with -real, where each has a socket of the system and a goroutine to read it
	farewell      = 2 * time.Second // for requests in progress at shutdown
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 2 if the command line is wrong, 1 if the page or a
// node fails.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return cli.Exit("live", live(ctx, args, stdout), stderr)
}

func live(ctx context.Context, args []string, stdout io.Writer) error {
	listen, o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("the page cannot be served there, choose another address with -listen: %w", err)
	}
	fmt.Fprintf(stdout, "open http://%v to see %d nodes\n", listener.Addr(), o.nodes)
	return serve(ctx, listener, newCluster(o))
}

// serve runs the cluster and its page until ctx ends or one of them fails.
func serve(ctx context.Context, listener net.Listener, c *cluster) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	web := &http.Server{
		Handler:           newHandler(c),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		MaxHeaderBytes:    1 << 16,
	}
	failed := make(chan error, 1)
	go func() {
		failed <- web.Serve(listener)
		cancel() // without its page the cluster has no use
	}()
	err := c.run(ctx)

	// The streams have ended with the cluster, so this does not take long.
	goodbye, done := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer done()
	if web.Shutdown(goodbye) != nil {
		web.Close()
	}
	if failure := <-failed; err == nil && !errors.Is(failure, http.ErrServerClosed) {
		err = failure
	}
	return err
}

func parse(args []string, help io.Writer) (listen string, o options, err error) {
	flags := flag.NewFlagSet("live", flag.ContinueOnError)
	flags.StringVar(&listen, "listen", "127.0.0.1:8080", "`address` to serve the page at; port 0 lets the system choose one")
	flags.IntVar(&o.nodes, "nodes", 0, fmt.Sprintf("how many nodes, 2 to %d, or %d with -real (default 1000, or 64)", mostNodes, mostRealNodes))
	flags.Uint64Var(&o.seed, "seed", 1, "`number` that seeds the randomness of the network")
	flags.BoolVar(&o.real, "real", false, "real sockets on the loopback interface instead of a simulated network")
	if err := cli.Parse(flags, args, help); err != nil {
		return "", o, err
	}
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return "", o, cli.Usage("-listen %q is not an address such as 127.0.0.1:8080", listen)
	}
	preset, most := 1000, mostNodes
	if o.real {
		preset, most = 64, mostRealNodes
	}
	given := false
	flags.Visit(func(f *flag.Flag) { given = given || f.Name == "nodes" })
	if !given {
		o.nodes = preset
	}
	if o.nodes < 2 || o.nodes > most {
		return "", o, cli.Usage("-nodes %d is not between 2 and %d", o.nodes, most)
	}
	o.greets = true
	if !o.real {
		o.latency, o.config = 200*time.Millisecond, slow()
	}
	return listen, o, nil
}

// slow is for a network whose datagrams take about 200 ms, and a thousand nodes in one
// process: its timeouts are longer and its memory bounds lower.
func slow() gossip.Config {
	return gossip.Config{
		TickInterval:      3 * time.Second,
		RetryInterval:     time.Second,
		AckDelay:          200 * time.Millisecond,
		MaxMembers:        128,
		DataLogSize:       32 << 10,
		MaxOutputMessages: 256,
	}
}
