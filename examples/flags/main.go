// Flags is an HTTP service that keeps feature flags at every replica: a change at one reaches
// the others by gossip, and a replica that starts gets all flags from another one.
//
//	flags -first -http 0.0.0.0:8080 -listen 0.0.0.0:7070 -advertise $POD_IP:7070 -key cluster.key    # once
//	flags -seed flags.default.svc:7070 -http 0.0.0.0:8080 -listen 0.0.0.0:7070 -advertise $POD_IP:7070 -key cluster.key
//
//	GET, PUT, DELETE /flags/{name}    the body is the value, text of at most 1000 bytes
//	GET /flags                        all flags, as JSON
//	GET /healthz                      200 while the process serves
//	GET /readyz                       200 while requests may be sent here
//	GET /metrics                      counters, as text for Prometheus
//
// A replica answers with the newest value that has reached it. A change that was answered with
// 204 is on its way to the others, which have it some milliseconds later.
//
// Until a replica has got all flags from another one it is not synced, and answers 503 to
// requests for flags. So some replica must begin: the one with -first, on its own. Give that
// flag once in the life of a cluster, never in a file that starts the replica again: it would
// answer without the flags of the others. The replicas restart one after another, each when
// the one before is synced. Flags live in memory only: when no replica is left they are gone.
//
// Of two changes of a flag the newer one wins at all replicas, whichever arrives first. Newer
// is what has the higher version: the writer's clock, or 1 more than the highest version that
// the writer has seen, whichever is higher. So a change always wins over the value that its
// writer could read, though its clock be slow and this be its first change since it started.
// Clocks that differ decide only between changes that did not know of one another, on the two
// sides of a partition for instance.
//
// Every ten seconds or so each replica compares its flags with those of another one and takes
// what is newer there. That is the remedy for whatever else was missed.
//
// There are at most 1000 flags, and 1024 replicas: a replica gives its flags only to members that
// it knows. A flag that was deleted is remembered until 1000 others have been deleted after it; a
// replica that was cut off for all that time brings it back. Delete it again.
//
// Anyone who can reach the HTTP port may read and write, so do not expose it.
package main

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"example.com/gossip/examples/internal/cli"
	"example.com/gossip/examples/internal/web"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 2 if the command line is wrong, 1 if the service fails.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stdout)
	if err == nil {
		err = serve(ctx, o, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	return cli.Exit("flags", err, stderr)
}

// options are the values of the command line.
type options struct {
	cli.Service
	first bool
}

func parseOptions(args []string, help io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("flags", flag.ContinueOnError)
	if err := o.Flags(flags, "flags"); err != nil {
		return o, err
	}
	flags.BoolVar(&o.first, "first", false, "begin a new cluster, without any flag")
	if err := cli.Parse(flags, args, help); err != nil {
		return o, err
	}
	if o.first == (len(o.Seeds) > 0) {
		return o, cli.Usage("give -seed with the address of another replica or, once, for the first replica of a new cluster, -first")
	}
	return o, o.Check()
}

// serve runs a replica until ctx ends, -wait runs out, or a part of it fails.
func serve(ctx context.Context, o options, log *slog.Logger) error {
	config, err := o.Config(log)
	if err != nil {
		return err
	}
	listener, err := web.Listen(o.HTTP)
	if err != nil {
		return err
	}
	defer listener.Close()
	r, err := newReplica(o.Listen, o.first, config)
	if err != nil {
		return err
	}
	defer r.node.Close()
	return web.Replica{
		Node: r.node, Joined: r.joined, Handler: r.handler(),
		Run:    func(ctx context.Context, report func(error)) error { return r.run(ctx, o.Seeds, report) },
		Ending: func() { r.ending.Store(true) },
	}.Serve(ctx, listener, &o.Service, log)
}
