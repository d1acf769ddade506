// Gossipcat is a netcat for clusters: it spreads the lines of its standard input to all
// nodes and prints the lines it receives, each preceded by the id of its origin and a tab.
// Here one node waits for others, and another one sends a line:
//
//	go run ./examples/gossipcat -listen 127.0.0.1:7070 -k
//	echo hello | go run ./examples/gossipcat -seed 127.0.0.1:7070
//
// A line is one message, without its newline. Lines wait until there is a node to send them
// to. A line that is too long for a message is refused, never truncated.
//
// At the end of its input the program waits until the last lines are acknowledged and leaves
// the cluster. It exits with code 0, or 1 if that takes longer than -linger or a line was
// refused. With -k it keeps printing what it receives until it is interrupted, and then exits
// with code 0. When nobody reads its output any more it exits silently with code 141, as a
// shell reports for other programs. A wrong command line is code 2, any other failure code 1.
//
// Slow output slows down the nodes that send. But if it stalls for a second while 1024 lines
// wait for it, lines are dropped, and the exit code is 1, so that the node stays in the
// cluster.
//
// A node that joins receives what the cluster retains, so without -new the first lines
// may be old.
//
// With -top it shows the node instead, once a second until it is interrupted: its members with
// their round trips, and how fast messages, losses and repairs come. On a terminal that is a view
// that fills it; elsewhere a line of names and values, for grep. It reads no input then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	survivePipe()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// codeUnread is the exit code when nobody reads the output any more: 128 and the
// number of SIGPIPE.
const codeUnread = 141

// run returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args, stdout)
	switch {
	case err != nil:
	case o.top:
		err = watch(ctx, o, stdout, stderr)
	default:
		err = live(ctx, o, stdin, stdout, stderr)
	}
	switch {
	case isUnread(err):
		return codeUnread
	case errors.Is(err, errRefused): // each was reported
		return 1
	}
	return cli.Exit("gossipcat", err, stderr)
}

// options are the values of the flags.
type options struct {
	listen  gossip.Address
	seeds   cli.Seeds
	wait    time.Duration
	cluster string
	keys    [][]byte
	spread  gossip.Spread
	direct  bool // to one node, which need not be a member
	keep    bool
	linger  time.Duration
	fresh   bool
	raw     bool
	status  bool
	top     bool
}

func parse(args []string, help io.Writer) (o options, err error) {
	if o.listen, err = gossip.ParseAddress("0.0.0.0:0"); err != nil {
		return o, err
	}
	var key string
	flags := flag.NewFlagSet("gossipcat", flag.ContinueOnError)
	flags.TextVar(&o.listen, "listen", o.listen, "`address` to listen on; 0.0.0.0 for all addresses of the machine, [::] including IPv6; port 0 lets the system choose one")
	flags.Var(&o.seeds, "seed", "`address` of a running node, 127.0.0.1:7070 or node.example:7070; separate several by commas, or repeat the flag; without one this node is a seed itself")
	flags.DurationVar(&o.wait, "wait", 10*time.Second, "how long a seed may take to answer; 0 for no limit")
	flags.StringVar(&o.cluster, "cluster", "", "`name` of the cluster; nodes of other clusters are ignored")
	flags.StringVar(&key, "key", "", "`file` with the keys of the cluster, one in each line, as openssl rand -hex 32 prints; without it everything is sent in clear")
	flags.Func("spread", "`how` lines spread: broadcast (to all, the default), random (to all, as a rumor), or direct=127.0.0.1:7071 (to one node)", o.setSpread)
	flags.BoolVar(&o.keep, "k", false, "keep running after the end of the input, until an interrupt")
	flags.DurationVar(&o.linger, "linger", 5*time.Second, "how long the last lines may take to be acknowledged at the end of the input; 0 for no limit")
	flags.BoolVar(&o.fresh, "new", false, "print only lines sent from now on, not those that other nodes retain")
	flags.BoolVar(&o.raw, "raw", false, "print lines as they are, without their origin; otherwise backslashes and unprintable characters are escaped as in Go")
	flags.BoolVar(&o.status, "status", false, "print the node's status on standard error when it has changed, at most once a second")
	flags.BoolVar(&o.top, "top", false, "show the node, its members and its rates, instead of lines, until an interrupt")
	if err := cli.Parse(flags, args, help); err != nil {
		return o, err
	}
	switch {
	case o.wait < 0:
		return o, cli.Usage("-wait %v is negative", o.wait)
	case o.linger < 0:
		return o, cli.Usage("-linger %v is negative", o.linger)
	}
	o.keys, err = cli.ReadKeys(key)
	return o, err
}

// setSpread takes the value of -spread.
func (o *options) setSpread(text string) error {
	to, direct := strings.CutPrefix(text, "direct=")
	switch {
	case text == "broadcast":
		o.spread, o.direct = gossip.Broadcast, false
	case text == "random":
		o.spread, o.direct = gossip.Random, false
	case direct:
		var a gossip.Address
		if err := a.UnmarshalText([]byte(to)); err != nil {
			return err
		}
		o.spread, o.direct = gossip.Direct(a), true
	default:
		return fmt.Errorf("it must be broadcast, random or direct=address")
	}
	return nil
}
