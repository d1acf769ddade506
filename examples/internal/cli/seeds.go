package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/gossip"
)

// mostSeeds bounds the addresses that seeds resolve to. A node needs a few that answer, not
// all.
const mostSeeds = 64

// Seeds are the nodes to join, as given on a command line: addresses, or host names with a
// port, each of which may stand for many nodes, and for others tomorrow. It is the value of a
// flag that takes several, separated by commas, and may be repeated.
type Seeds []string

// String returns the seeds separated by commas.
func (s *Seeds) String() string { return strings.Join(*s, ",") }

// Set adds seeds. An error says which one is invalid.
func (s *Seeds) Set(list string) error {
	for text := range strings.SplitSeq(list, ",") {
		if _, _, err := split(text); err != nil {
			return err
		}
		*s = append(*s, text)
	}
	return nil
}

// split returns text as an address or, if it is a host name and port, the port.
func split(text string) (a gossip.Address, port uint16, err error) {
	if err = a.UnmarshalText([]byte(text)); err == nil && a.IsValid() {
		if !ofOneNode(a.AddrPort()) {
			return a, 0, fmt.Errorf("%w %q: no single node can be reached there, give the address of one, such as 127.0.0.1:7070", gossip.ErrAddress, text)
		}
		return a, 0, nil
	}
	host, service, bad := net.SplitHostPort(text)
	number, numberErr := strconv.ParseUint(service, 10, 16)
	if bad != nil || host == "" || numberErr != nil || number == 0 || strings.ContainsAny(host, ":/ \t\r\n") {
		return a, 0, fmt.Errorf("%w %q: a host and a port are needed, such as 127.0.0.1:7070 or node.example:7070", gossip.ErrAddress, text)
	}
	return a, uint16(number), nil
}

// ofOneNode reports whether a single node could be at a. If not, Join would refuse all seeds.
func ofOneNode(a netip.AddrPort) bool {
	ip := a.Addr().Unmap()
	return a.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() && ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// Lookup resolves a host name, as net.Resolver.LookupNetIP does.
type Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

// Resolve returns the addresses that the seeds stand for now, at most 64. Names that cannot
// be resolved are left out, for they may be later; if no address is left, the error says why.
func (s Seeds) Resolve(ctx context.Context, lookup Lookup) ([]gossip.Address, error) {
	var all []gossip.Address
	var failed error
	for _, text := range s {
		a, port, err := split(text)
		switch {
		case err != nil:
			return nil, err
		case a.IsValid():
			all = append(all, a)
			continue
		}
		host, _, _ := net.SplitHostPort(text)
		ips, err := lookup(ctx, "ip", host)
		ips = slices.DeleteFunc(ips, func(ip netip.Addr) bool { return !ofOneNode(netip.AddrPortFrom(ip, port)) })
		if err == nil && len(ips) == 0 {
			err = errors.New("the name has no address of a single node")
		}
		if err != nil {
			failed = fmt.Errorf("seed %s: %w", text, err)
		}
		for _, ip := range ips {
			if a, err := gossip.ParseAddress(netip.AddrPortFrom(ip, port).String()); err == nil && !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	if len(all) == 0 && len(s) > 0 {
		return nil, fmt.Errorf("no seed has an address now, check the name or give an address: %w", failed)
	}
	return all[:min(len(all), mostSeeds)], nil
}

// startRounds is how many times KeepJoined joins even if the node has members: nodes that
// start at the same time may first find each other in pairs only.
const startRounds = 12

// calmRounds is after how many ticks it joins again then: two clusters that know nothing of one
// another unite when a name comes to stand for both.
const calmRounds = 60

// KeepJoined resolves the seeds and joins them until ctx ends, because names may come to stand for
// other nodes: at once, at every tick while the node is new or alone, and rarely after. Looking up a name
// may take long, so it must run beside the loop, on a goroutine of its own. It passes errors
// to report.
func (s Seeds) KeepJoined(ctx context.Context, node *gossip.GossipService, lookup Lookup, tick <-chan time.Time, report func(error)) {
	for round := 0; ; round++ {
		if round < startRounds || round%calmRounds == 0 || len(node.Members()) == 0 {
			err := s.Join(ctx, node, lookup)
			if ctx.Err() != nil || errors.Is(err, gossip.ErrClosed) {
				return
			}
			if err != nil {
				report(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}

// Join resolves the seeds and joins them. A node that has been given too many seeds over
// time, and is still alone, leaves and starts again with these. If ctx ends, maybe before a
// name is resolved, Join returns only its Cause.
func (s Seeds) Join(ctx context.Context, node *gossip.GossipService, lookup Lookup) error {
	seeds, err := s.Resolve(ctx, lookup)
	if ctx.Err() != nil {
		return Cause(ctx)
	}
	if err != nil {
		return err
	}
	err = node.Join(seeds...)
	if errors.Is(err, gossip.ErrAddress) && len(node.Members()) == 0 && node.Leave() == nil {
		err = node.Join(seeds...)
	}
	return err
}
