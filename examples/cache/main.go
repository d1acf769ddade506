// Cache is an HTTP service with an in-memory cache that runs as several replicas: a write
// at one reaches the others by gossip.
//
//	cache -http 0.0.0.0:8080 -listen 0.0.0.0:7070 -advertise $POD_IP:7070 -seed cache.default.svc:7070 -key cluster.key
//
// The first replica of a cluster has no -seed.
//
//	GET, PUT, DELETE /cache/{key}    the body is the value
//	GET /healthz                     200 while the gossip loop turns
//	GET /readyz                      200 while the replica is CONNECTED
//	GET /metrics                     counters, as text for Prometheus
//	GET /debug/vars                  the same and those of Go, as JSON
//
// A replica answers with the newest write of a key that has reached it, or with a miss, and
// never goes back to a write older than one it has held. A PUT or DELETE that was answered
// with 204 is applied here and on its way to the others, which have it some milliseconds
// later; until then they answer as before. Of concurrent writes at different replicas the
// same one wins everywhere. A replica that starts gets the writes that others retain, at
// most the latest 1024 of each replica. A replica that missed a write for good, because it
// was cut off for longer than others retained it, may keep an old value until -ttl has
// passed since that value was written. Nothing wrong lasts longer than that.
//
// The clocks of the replicas should agree to about a second. They must not differ by more
// than a minute: writes that seem to come from further in the future are refused.
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
	"time"

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
	o, err := parse(args, stdout)
	if err == nil {
		err = serve(ctx, o, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	return cli.Exit("cache", err, stderr)
}

// options are the values of the flags.
type options struct {
	cli.Service
	entries int
	ttl     time.Duration
}

func parse(args []string, help io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("cache", flag.ContinueOnError)
	if err := o.Flags(flags, "cache"); err != nil {
		return o, err
	}
	flags.IntVar(&o.entries, "entries", 10_000, "how many entries to hold, including deleted ones; the least recently used make room")
	flags.DurationVar(&o.ttl, "ttl", 10*time.Minute, "how long a write lasts; must be the same at all replicas")
	if err := cli.Parse(flags, args, help); err != nil {
		return o, err
	}
	switch {
	case o.entries < 1 || o.entries > mostEntries:
		return o, cli.Usage("-entries %d is not between 1 and %d", o.entries, mostEntries)
	case o.ttl < time.Second:
		return o, cli.Usage("-ttl %v is too short: at least 1s", o.ttl)
	}
	return o, o.Check()
}

// serve runs a replica until ctx ends, -wait runs out, or a part of it fails.
func serve(ctx context.Context, o options, log *slog.Logger) error {
	listener, err := web.Listen(o.HTTP)
	if err != nil {
		return err
	}
	defer listener.Close()
	r, err := newReplica(o, log)
	if err != nil {
		return err
	}
	defer r.node.Close()
	return web.Replica{
		Node: r.node, Joined: r.joined, Handler: r.handler(),
		Run: func(ctx context.Context, report func(error)) error {
			return o.Seeds.Drive(ctx, r.node, report, r.loop)
		},
		Ending: func() {},
	}.Serve(ctx, listener, &o.Service, log)
}
