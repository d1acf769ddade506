// Cache is an HTTP service with an in-memory cache that runs as several replicas: a write
// at one reaches the others by gossip.
//
//	cache -http 0.0.0.0:8080 -listen 0.0.0.0:7070 -advertise $POD_IP:7070 -seed cache.default.svc:7070 -key cluster.key
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
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
	"example.com/gossip/examples/internal/web"
)

// joinEvery is how often a replica that is alone resolves its seeds.
const joinEvery = 5 * time.Second

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
	http      string
	listen    gossip.Address
	advertise gossip.Address
	seeds     cli.Seeds
	keyFile   string
	cluster   string
	wait      time.Duration
	entries   int
	ttl       time.Duration
}

func parse(args []string, help io.Writer) (o options, err error) {
	if o.listen, err = gossip.ParseAddress("127.0.0.1:7070"); err != nil {
		return o, err
	}
	flags := flag.NewFlagSet("cache", flag.ContinueOnError)
	flags.StringVar(&o.http, "http", "127.0.0.1:8080", "`address` to serve HTTP on")
	flags.TextVar(&o.listen, "listen", o.listen, "`address` to listen on for gossip, UDP")
	flags.TextVar(&o.advertise, "advertise", o.advertise, "`address` at which the others reach -listen, where it differs; with 0.0.0.0 it tells a replica which of its seeds is itself")
	flags.Var(&o.seeds, "seed", "`addresses` of replicas, or names that stand for all of them, such as that of a headless service (one that also lists replicas that are not ready yet); none for the first of a cluster")
	flags.StringVar(&o.keyFile, "key", "", "`file` with the keys of the cluster, each a line of 64 hexadecimal digits; without it everything is sent in clear")
	flags.StringVar(&o.cluster, "cluster", "cache", "`name` of the cluster; nodes of other clusters are ignored")
	flags.DurationVar(&o.wait, "wait", 0, "how long a seed may take to answer before the service gives up; 0 for no limit: replicas may be started in any order, and /readyz tells when one is usable")
	flags.IntVar(&o.entries, "entries", 10_000, "how many entries to hold, including deleted ones; the least recently used make room")
	flags.DurationVar(&o.ttl, "ttl", 10*time.Minute, "how long a write lasts; must be the same at all replicas")
	if err := cli.Parse(flags, args, help); err != nil {
		return o, err
	}
	switch {
	case o.wait < 0:
		return o, cli.Usage("-wait %v is negative", o.wait)
	case o.entries < 1 || o.entries > mostEntries:
		return o, cli.Usage("-entries %d is not between 1 and %d", o.entries, mostEntries)
	case o.ttl < time.Second:
		return o, cli.Usage("-ttl %v is too short: at least 1s", o.ttl)
	}
	return o, nil
}

// serve runs a replica until ctx ends, -wait runs out, or a part of it fails. Then it
// finishes the requests in progress, and only after that leaves the cluster.
func serve(ctx context.Context, o options, log *slog.Logger) error {
	listener, err := web.Listen(o.http)
	if err != nil {
		return err
	}
	defer listener.Close()
	r, err := newReplica(o, log)
	if err != nil {
		return err
	}
	defer r.node.Close()
	server := web.NewServer(r.handler(), log)
	log.Info("listening", "http", listener.Addr(), "gossip", r.node.Address(), "id", r.writer)

	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	running, stop := cli.Within(running, o.wait, r.joined, o.seeds)
	defer stop()
	looping, endLoop := context.WithCancel(context.WithoutCancel(ctx))
	var joins, loops sync.WaitGroup
	loops.Go(func() {
		if err := r.loop(looping); err != nil {
			fail(err)
		}
	})
	loops.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fail(err)
		}
	})
	joins.Go(func() { r.keepJoined(running, o.seeds, log) })

	<-running.Done()
	var why error
	if ctx.Err() == nil { // it was not interrupted
		why = context.Cause(running)
	}
	log.Info("ending")
	joins.Wait() // a Join after Leave would join again
	web.Shutdown(server)
	endLoop()
	loops.Wait()
	return why
}

// keepJoined joins the seeds, repeatedly while the replica is alone, until ctx ends.
func (r *replica) keepJoined(ctx context.Context, seeds cli.Seeds, log *slog.Logger) {
	tick := time.NewTicker(joinEvery)
	defer tick.Stop()
	seeds.KeepJoined(ctx, r.node, net.DefaultResolver.LookupNetIP, tick.C, func(err error) {
		log.Warn("cannot join now, still trying", "error", err)
	})
}
