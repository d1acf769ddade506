// Gossipcat is a netcat for clusters: it spreads the lines of its standard input to
// all nodes and prints the lines that it receives, each after the node that said it
// and a tab. Here one waits for the others, and another one says a line:
//
//	go run ./examples/gossipcat -listen 127.0.0.1:7070 -k
//	echo hello | go run ./examples/gossipcat -seed 127.0.0.1:7070
//
// A line is one message, without its newline. Lines wait until there is somebody to
// send them to. One that is too long for a message is refused, never cut.
//
// At the end of its input the program stays until the last lines are acknowledged
// and leaves the cluster: with code 0, or 1 if that takes longer than -linger, or if
// a line was refused. With -k it stays to print what it receives until it is
// interrupted, which ends it in good order, with code 0. When nobody reads its output
// any more it leaves without a word, with code 141, which is what a shell reports of
// other programs then. A wrong command line is code 2, and all else that fails is 1.
//
// The output may be slow: that slows down who speaks. But when it stands still for a
// second, and 1024 lines wait for it, lines are dropped, told at the end by code 1, so
// that the node stays in the cluster.
//
// Who joins is told what the cluster retains: the first lines may be old, but for -new.
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
	signal.Ignore(syscall.SIGPIPE) // writing fails instead, which leaves time for a goodbye
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// codeUnread is the exit code when nobody reads the output any more: 128 and the
// number of SIGPIPE.
const codeUnread = 141

// run returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args, stdout)
	if err == nil {
		err = live(ctx, o, stdin, stdout, stderr)
	}
	switch {
	case errors.Is(err, syscall.EPIPE):
		return codeUnread
	case errors.Is(err, errRefused): // each was told
		return 1
	}
	return cli.Exit("gossipcat", err, stderr)
}

// options are what the command line says.
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
}

func parse(args []string, help io.Writer) (o options, err error) {
	if o.listen, err = gossip.ParseAddress("0.0.0.0:0"); err != nil {
		return o, err
	}
	var key string
	flags := flag.NewFlagSet("gossipcat", flag.ContinueOnError)
	flags.TextVar(&o.listen, "listen", o.listen, "`address` to listen on; 0.0.0.0 is all of the machine's, [::] with IPv6; port 0 lets the system choose one")
	flags.Var(&o.seeds, "seed", "`address` of a node that is there, 127.0.0.1:7070 or node.example:7070; several are separated by commas, or each has a flag; without one it is a seed itself")
	flags.DurationVar(&o.wait, "wait", 10*time.Second, "how long a seed may take to answer; 0 for ever")
	flags.StringVar(&o.cluster, "cluster", "", "`name` of the cluster; nodes of others are ignored")
	flags.StringVar(&key, "key", "", "`file` with the keys of the cluster, one in each line, as openssl rand -hex 32 prints; in clear without")
	flags.Func("spread", "`how` far lines go: broadcast (to all, the default), random (the same as a rumor), or direct=127.0.0.1:7071 (to one node)", o.setSpread)
	flags.BoolVar(&o.keep, "k", false, "stay at the end of the input, until an interrupt")
	flags.DurationVar(&o.linger, "linger", 5*time.Second, "how long the last lines may take to be acknowledged at the end of the input; 0 for ever")
	flags.BoolVar(&o.fresh, "new", false, "print what is said from now on, and not what others retain of what was said before")
	flags.BoolVar(&o.raw, "raw", false, "print lines as they are, without who said them; otherwise a backslash and what cannot be printed are escaped as in Go")
	flags.BoolVar(&o.status, "status", false, "tell on standard error how things are, when that has changed, once a second")
	if err := cli.Parse(flags, args, help); err != nil {
		return o, err
	}
	switch {
	case o.wait < 0:
		return o, cli.Usage("-wait %v is not a time to wait", o.wait)
	case o.linger < 0:
		return o, cli.Usage("-linger %v is not a time to wait", o.linger)
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
		return fmt.Errorf("it is broadcast, random or direct=address")
	}
	return nil
}
