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
	"errors"
	"flag"
	"io"
	"log/slog"
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
	o, err := parseOptions(args, stdout)
	if err == nil {
		err = serve(ctx, o, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	return cli.Exit("flags", err, stderr)
}

// options are the values of the command line.
type options struct {
	http      string
	listen    gossip.Address
	advertise gossip.Address
	seeds     cli.Seeds
	first     bool
	keyFile   string
	cluster   string
	wait      time.Duration
}

func parseOptions(args []string, help io.Writer) (o options, err error) {
	if o.listen, err = gossip.ParseAddress("127.0.0.1:7070"); err != nil {
		return o, err
	}
	flags := flag.NewFlagSet("flags", flag.ContinueOnError)
	flags.StringVar(&o.http, "http", "127.0.0.1:8080", "`address` to serve HTTP on")
	flags.TextVar(&o.listen, "listen", o.listen, "`address` to listen on for gossip, UDP")
	flags.TextVar(&o.advertise, "advertise", o.advertise, "`address` at which the others reach -listen, where it differs")
	flags.Var(&o.seeds, "seed", "`addresses` of other replicas, or names that stand for all of them, such as that of a headless service (one that also lists replicas that are not ready yet)")
	flags.BoolVar(&o.first, "first", false, "begin a new cluster, without any flag")
	flags.StringVar(&o.keyFile, "key", "", "`file` with the keys of the cluster, each a line of 64 hexadecimal digits; without it everything is sent in clear")
	flags.StringVar(&o.cluster, "cluster", "flags", "`name` of the cluster; nodes of other clusters are ignored")
	flags.DurationVar(&o.wait, "wait", 0, "how long a seed may take to answer before the service gives up; 0 for no limit: replicas may be started in any order, and /readyz tells when one is usable")
	if err := cli.Parse(flags, args, help); err != nil {
		return o, err
	}
	switch {
	case o.first == (len(o.seeds) > 0):
		return o, cli.Usage("give -seed with the address of another replica or, once, for the first replica of a new cluster, -first")
	case o.wait < 0:
		return o, cli.Usage("-wait %v is negative", o.wait)
	}
	return o, nil
}

// serve runs a replica until ctx ends, -wait runs out, or a part of it fails. Then it says that
// it is not ready, finishes the requests in progress, and only after that leaves the cluster.
func serve(ctx context.Context, o options, log *slog.Logger) error {
	keys, err := cli.ReadKeys(o.keyFile)
	if err != nil {
		return err
	}
	listener, err := web.Listen(o.http)
	if err != nil {
		return err
	}
	defer listener.Close()
	r, err := newReplica(o.listen, o.first, gossip.Config{Advertise: o.advertise, Cluster: o.cluster, Keys: keys, Logger: log})
	if err != nil {
		return err
	}
	defer r.node.Close()
	server := web.NewServer(r.handler(), log)
	log.Info("listening", "http", listener.Addr(), "gossip", r.node.Address(), "id", r.node.ID())

	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	running, stop := cli.Within(running, o.wait, r.joined, o.seeds)
	defer stop()
	gossiping, endGossip := context.WithCancel(context.WithoutCancel(ctx))
	defer endGossip()
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := r.run(gossiping, o.seeds, func(err error) { log.Warn("cannot join now, still trying", "error", err) }); err != nil {
			fail(err)
		}
	})
	parts.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fail(err)
		}
	})

	<-running.Done()
	var why error
	if ctx.Err() == nil { // it was not interrupted
		why = context.Cause(running)
	}
	log.Info("ending")
	r.ending.Store(true)
	web.Shutdown(server)
	endGossip()
	parts.Wait()
	return why
}
