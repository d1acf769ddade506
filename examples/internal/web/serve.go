package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
)

// Replica is an HTTP service and the node of its cluster.
type Replica struct {
	Node    *gossip.GossipService
	Joined  func() bool // whether the node ever joined
	Handler http.Handler
	Run     func(ctx context.Context, report func(error)) error // joins and turns the loop until ctx ends
	Ending  func()                                              // is called before the last requests are finished
}

// Serve serves a replica until ctx ends, -wait runs out, or a part of it fails. Then it finishes
// the requests in progress, and only after that lets the node leave the cluster.
func (r Replica) Serve(ctx context.Context, listener net.Listener, o *cli.Service, log *slog.Logger) error {
	server := NewServer(r.Handler, log)
	log.Info("listening", "http", listener.Addr(), "gossip", r.Node.Address(), "id", r.Node.ID())
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	running, stop := cli.Within(running, o.Wait, r.Joined, o.Seeds)
	defer stop()
	gossiping, endGossip := context.WithCancel(context.WithoutCancel(ctx))
	defer endGossip()
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := r.Run(gossiping, func(err error) { log.Warn("cannot join now, still trying", "error", err) }); err != nil {
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
	r.Ending()
	Shutdown(server)
	endGossip()
	parts.Wait()
	return why
}
