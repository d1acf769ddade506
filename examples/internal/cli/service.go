package cli

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"sync"
	"time"

	"example.com/gossip"
)

// Service is what the command line of an HTTP service tells whose replicas are a cluster.
type Service struct {
	HTTP              string
	Listen, Advertise gossip.Address
	Seeds             Seeds
	Cluster           string
	Wait              time.Duration
	keyFile           string
}

// Flags defines the flags of a service, whose cluster has that name by default.
func (s *Service) Flags(flags *flag.FlagSet, cluster string) error {
	var err error
	if s.Listen, err = gossip.ParseAddress("127.0.0.1:7070"); err != nil {
		return err
	}
	flags.StringVar(&s.HTTP, "http", "127.0.0.1:8080", "`address` to serve HTTP on")
	flags.TextVar(&s.Listen, "listen", s.Listen, "`address` to listen on for gossip, UDP")
	flags.TextVar(&s.Advertise, "advertise", s.Advertise, "`address` at which the others reach -listen, where it differs; with 0.0.0.0 it tells a replica which of its seeds is itself")
	flags.Var(&s.Seeds, "seed", "`addresses` of other replicas, or names that stand for all of them, such as that of a headless service (one that also lists replicas that are not ready yet)")
	flags.StringVar(&s.keyFile, "key", "", "`file` with the keys of the cluster, each a line of 64 hexadecimal digits; without it everything is sent in clear")
	flags.StringVar(&s.Cluster, "cluster", cluster, "`name` of the cluster; nodes of other clusters are ignored")
	flags.DurationVar(&s.Wait, "wait", 0, "how long a seed may take to answer before the service gives up; 0 for no limit: replicas may be started in any order, and /readyz tells when one is usable")
	return nil
}

// Check returns an error for values out of their range.
func (s *Service) Check() error {
	if s.Wait < 0 {
		return Usage("-wait %v is negative", s.Wait)
	}
	return nil
}

// Config returns the settings of the node. It reads the keys.
func (s *Service) Config(log *slog.Logger) (gossip.Config, error) {
	keys, err := ReadKeys(s.keyFile)
	return gossip.Config{Advertise: s.Advertise, Cluster: s.Cluster, Keys: keys, Logger: log}, err
}

// joinEvery is how often a node that is alone resolves its seeds.
const joinEvery = 5 * time.Second

// Drive runs the loop of a node until ctx ends, and work beside it. Meanwhile it joins the seeds,
// again and again while the node is alone, and reports errors of that. The loop ends last: a Join
// after Leave would join again.
func (s Seeds) Drive(ctx context.Context, node *gossip.GossipService, report func(error), loop func(context.Context) error, work ...func(context.Context)) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	looping, endLoop := context.WithCancel(context.WithoutCancel(ctx))
	defer endLoop()
	var parts sync.WaitGroup
	for _, w := range work {
		parts.Go(func() { w(working) })
	}
	go func() {
		tick := time.NewTicker(joinEvery)
		defer tick.Stop()
		s.KeepJoined(working, node, net.DefaultResolver.LookupNetIP, tick.C, report)
		parts.Wait()
		endLoop()
	}()
	return loop(looping)
}
