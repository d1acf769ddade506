// Package gossip spreads small messages (a command, a cache invalidation, a
// configuration flag) through a cluster of peers over UDP, without a broker,
// without dependencies and without a goroutine of its own.
//
// # The loop
//
// A GossipService is one node. Its caller owns the event loop and drives it:
//
//	g, err := gossip.New(self, func(origin gossip.NodeID, payload []byte) {
//		fmt.Printf("%v says %s\n", origin, payload)
//	}, gossip.Config{})
//	...
//	err = g.Join(seed)
//	for {
//		wait, err := g.Tick()   // do retries, repair and upkeep that are due
//		_, err = g.Send()       // send what is queued
//		_, err = g.Receive(wait) // handle and deliver what came in
//	}
//
// Receive waits no longer than it is told, handles at most 64 datagrams and calls
// the receiver. Send sends at most 256 datagrams, each with as many messages for
// its recipient as fit. Tick returns how long Receive may wait: 0 while anything is
// still to be sent. The three may be called in any order and at any pace: time is
// read from the clock, so a late Tick does its duties late, and infrequent calls of
// Send make fuller datagrams. Apart from a Receive inside Receive, they fail only when
// the node is closed; whatever comes from the network, and transient errors of the
// operating system, are counted in Stats. Run is this loop, for programs that do not
// need their own.
//
// SendData, from any goroutine, queues a message and ends the wait in Receive; Wake
// ends it for any other reason. SendData returns ErrQueueFull when the loop, or the
// cluster, does not keep up: let the loop turn, then try again. A node does not
// receive its own messages.
//
// # Guarantee
//
// As long as some peer retains it, a message accepted by SendData is delivered exactly
// once to every other connected node, in any order (with Config.Ordered, in the order
// of its origin). A node that joins receives what its peers retain (unless SkipHistory
// is set). Each node retains the latest messages, up to Config.DataLogSize bytes, even
// while it is alone, for nodes that join later. A node that falls more than 1024
// messages of one origin behind gives up the older ones. A Direct message is for one
// node only and is not repaired by others: it is given up after RetryAttempts. Messages
// that left the log or were given up are counted in Stats.Evicted, GaveUpUnseen and
// GivenUp.
//
// Nodes track members only to know where to send. This is not a membership service: a
// node may be missing from Members and still receive everything, and a dead one stays
// until somebody has tried to reach it.
//
// # Concurrency
//
// All methods may be called from any goroutine. Callbacks run on the goroutine that
// calls Receive or another method, one at a time and without a lock held; they may call
// all methods except Receive and Run. While a callback runs the node does not answer.
// After some seconds its peers consider it lost; they find it again when the callback
// returns, and what it missed is repaired.
//
// # Limits
//
// Everything is bounded, and each type documents its bound: payloads by MaxPayload,
// 480 bytes by default (444 with Keys); queues, view, log and the table of origins by
// Config; the work of one call and the answer to one datagram by constants. A
// datagram from a source that has not proved its address is answered with at most
// three times its bytes.
//
// Without Config.Keys messages travel unencrypted and unauthenticated: anyone who can
// send datagrams to the nodes can inject any message. With Keys, only holders of a key
// can.
//
// # Wire format
//
// A datagram holds one or more messages, each with a header and a body that determines
// its own length. Numbers are big-endian. README.md describes the bodies.
//
//	0        2        4                 8
//	+--------+--------+-----------------+------ ...
//	| type   |reserved| sequence number | body
//	+--------+--------+-----------------+------ ...
package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// NodeID identifies one life of a node. It is a random number, chosen by New and
// again whenever a node that left joins again, and never 0. It is also the node's
// place on the ring along which broadcasts spread.
type NodeID uint64

// String returns the id in 16 hexadecimal digits.
func (id NodeID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// Spread says how far a message goes. The zero value means Config.Spread.
type Spread struct {
	kind spreadKind
	to   Address
}

type spreadKind uint8

const (
	spreadDefault spreadKind = iota
	spreadBroadcast
	spreadRandom
	spreadDirect
)

var (
	// Broadcast reaches every node of the cluster, each along one path, as
	// fast as the network carries it; what is lost on the way is repaired.
	Broadcast = Spread{kind: spreadBroadcast}

	// Random is the classic rumor: it goes to RumorFactor random members, each
	// of which passes it on once in the same way. It reaches most nodes at once
	// and the rest by repair. It costs RumorFactor copies per node and needs no
	// structure in the network.
	Random = Spread{kind: spreadRandom}
)

// Direct sends to one address only, which need not be a member's. The message is sent
// up to RetryAttempts times until acknowledged, and never passed on or repaired by
// others. To answer an origin, find the Member with its ID, or let the payload name
// the address to answer to: in a large cluster Members does not list every node.
func Direct(to Address) Spread { return Spread{kind: spreadDirect, to: to} }

func (s Spread) check() error {
	if s.kind == spreadDirect && !reachable(s.to.ap) {
		return fmt.Errorf("%w: Direct to %q, which is not the address of one node", ErrAddress, s.to)
	}
	return nil
}

// Errors that the caller can act on. Returned errors wrap them with details: test with
// errors.Is. Only errors of the operating system, and of a Conn, wrap none of them.
var (
	// ErrState means that the method may not be called in the current state of the
	// node, or that another Receive is in progress.
	ErrState = errors.New("gossip: not legal in this state")
	// ErrTooLarge means that a payload is longer than MaxPayload.
	ErrTooLarge = errors.New("gossip: payload too large")
	// ErrQueueFull means that the data queue has no room now: let the loop
	// run, then try again.
	ErrQueueFull = errors.New("gossip: queue full")
	// ErrClosed means that the node was closed. It wraps net.ErrClosed.
	ErrClosed = fmt.Errorf("gossip: closed: %w", net.ErrClosed)
	// ErrAddress means that a text is not an address, that an address cannot be sent
	// to, or that Join was given too many.
	ErrAddress = errors.New("gossip: bad address")
	// ErrConfig means that New or SetKeys was given a setting out of its range, or
	// SendData more than one Spread.
	ErrConfig = errors.New("gossip: bad configuration")
)

// Run is the loop for programs that do not need their own: Tick, Send and Receive until
// ctx ends. Then it calls Leave, which drops what is queued, sends the goodbye and
// returns nil; the node is not closed. To have everything sent, end ctx only when
// Stats().QueuedData is 0: all messages are acknowledged or given up then. Set a limit on
// that wait, for it lasts until a seed answers. If Tick, Send or Receive fails, Run
// returns its error: ErrClosed after Close.
func (g *GossipService) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, g.Wake)()
	for ctx.Err() == nil {
		wait, err := g.Tick()
		if err == nil {
			_, err = g.Send()
		}
		if err == nil {
			_, err = g.Receive(wait)
		}
		if err != nil {
			return err
		}
	}
	if err := g.Leave(); err != nil && !errors.Is(err, ErrState) {
		return err
	}
	for {
		if n, err := g.Send(); n == 0 || err != nil {
			return err
		}
	}
}

const (
	// publishFactor is among how many members the origin of a Broadcast divides the
	// ring: more than a relaying node does, for others do not set the origin's pace.
	publishFactor = 16

	// mostHops bounds how far a copy goes, whatever the views of the nodes hold.
	mostHops = 64

	// suspicion is how long a silent member gets no arc to cover.
	suspicion = 500 * time.Millisecond
)

// copies returns how many envelopes a message of this node takes at most.
func (g *GossipService) copies(s Spread) int {
	switch s.kind {
	case spreadDirect:
		return 1
	case spreadRandom:
		return min(g.config.RumorFactor, g.config.MaxOutputMessages, g.roster.Len())
	default:
		return min(publishFactor, g.config.MaxOutputMessages, g.roster.Len())
	}
}

// publish sends a message of this node on its way.
func (g *GossipService) publish(now time.Duration, e *datalog.Entry, s Spread) {
	switch s.kind {
	case spreadDirect:
		g.nameRecipient(g.outbox.EmitData(s.to.ap, outbox.Copy{Entry: e, Flags: wire.FlagDirect}, g.config.RetryAttempts))
	case spreadRandom:
		g.passOn(now, e, netip.AddrPort{}, 0)
	default:
		e.Handled = true // the origin covers all the ring
		g.forward(now, e, view.All(uint64(g.id)), min(publishFactor, g.config.MaxOutputMessages), 0, 0)
	}
}

// nameRecipient names the recipient of a Direct message, if it is known, so that no other
// node accepts a replayed copy.
func (g *GossipService) nameRecipient(e *outbox.Envelope) {
	if m := g.roster.ByAddr(e.To()); e.Flags&wire.FlagDirect != 0 && m != nil && m.Proven {
		e.Recipient = m.ID
	}
}

// sayAgain spreads the messages sent before the cluster was found, before others'
// messages evict them from the log.
func (g *GossipService) sayAgain(now time.Duration) {
	said := &g.saidAlone
	for e := g.log.From(uint64(g.id), said.First); e != nil && e.Counter <= said.Last; e = g.log.Next(e) {
		if g.outbox.Spare() < g.copies(Broadcast) {
			said.First = e.Counter // goes on at the next Tick
			return
		}
		g.publish(now, e, Broadcast)
	}
	*said = versions.Run{}
}

// unspread returns how many messages wait in the log for sayAgain. A seed on its own
// counts none, for it may stay alone.
func (g *GossipService) unspread() int {
	said := g.saidAlone
	e := g.log.From(uint64(g.id), said.First)
	if said.First == 0 || e == nil || e.Counter > said.Last || !g.active() || g.isSeed() && g.roster.Len() == 0 {
		return 0
	}
	return int(said.Last-e.Counter) + 1
}

// passOn sends a rumor to random members but the one it came from.
func (g *GossipService) passOn(now time.Duration, e *datalog.Entry, from netip.AddrPort, hops uint8) {
	if hops >= mostHops {
		return
	}
	g.members = g.roster.Random(g.members[:0], g.rng, g.config.RumorFactor, from, now)
	for _, m := range g.members {
		g.relay(m, outbox.Copy{Entry: e, Flags: wire.FlagRumor, Hops: hops + 1}, g.config.RetryAttempts)
	}
}

// cover takes on the arc that a copy of e asks the node to cover.
func (g *GossipService) cover(now time.Duration, e *datalog.Entry, d *wire.Data) {
	e.Handled, e.Lo, e.Hi = true, d.Lo, d.Hi
	g.forward(now, e, view.Arc{Lo: d.Lo, Hi: d.Hi}, g.config.BroadcastFactor, d.Flags&wire.FlagNoOut, d.Hops)
}

// coverLate takes on the arc of a copy of a message that was here already, if the node
// did not cover that arc before: either the first copy came by repair, or this one was
// handed, which is done once, to a node outside its arc.
func (g *GossipService) coverLate(now time.Duration, d *wire.Data) {
	if d.Flags&wire.FlagArc == 0 || d.Flags&wire.FlagDirect != 0 {
		return
	}
	e := g.log.Get(d.Origin, d.Counter)
	if e == nil {
		return
	}
	outside := d.Flags&wire.FlagOut != 0 && !(view.Arc{Lo: e.Lo, Hi: e.Hi}).Has(d.Lo)
	if !e.Handled || outside && !e.Outside {
		e.Outside = outside
		g.cover(now, e, d)
	}
}

// forward divides an arc of the ring among about k members. While something is already
// queued for a silent member nothing is added: repair will bring it the message. But a
// message of the node itself is queued, until SendData refuses, when the log turns over
// so fast that it will be gone by then: a caller that heeds ErrQueueFull loses nothing
// when a member stalls for a moment.
func (g *GossipService) forward(now time.Duration, e *datalog.Entry, arc view.Arc, k int, flags, hops uint8) {
	if hops >= mostHops {
		return
	}
	pressing := e.Origin == uint64(g.id) && g.log.Brief(now, askAfter)
	g.delegates = g.roster.Split(g.delegates[:0], arc, k, now)
	for g.doubt(now, g.delegates) { // their arcs go to others
		g.delegates = g.roster.Split(g.delegates[:0], arc, k, now)
	}
	for _, d := range g.delegates {
		attempts := g.config.RetryAttempts
		if d.Suspect(now) {
			attempts = 1
		}
		if d.Tried && (!d.Proven || !pressing && g.outbox.Load(d.Addr) > 0) {
			g.stats.DropRelay++ // it may be dead: leave it to repair, and the queue to others
			continue
		}
		g.relay(d.Member, outbox.Copy{Entry: e, Flags: flags, Hops: hops + 1, Arc: d.Arc}, attempts)
	}
}

// doubt makes suspects of those delegates that get nothing more until they answer, and
// reports whether there were any.
func (g *GossipService) doubt(now time.Duration, delegates []view.Delegate) (any bool) {
	for _, d := range delegates {
		if !d.Suspect(now) && g.hasEnough(d.Member) {
			d.SuspectUntil, any = now+suspicion, true
		}
	}
	return any
}

// hasEnough reports whether m gets nothing more until it answers. A member known only by
// hearsay gets no more than a few messages: if the hearsay is false, they hit a victim at
// that address.
func (g *GossipService) hasEnough(m *view.Member) bool {
	return !m.Proven && g.outbox.Load(m.Addr) >= outbox.LeastWindow
}

// relay queues one copy.
func (g *GossipService) relay(m *view.Member, c outbox.Copy, attempts int) {
	if g.hasEnough(m) || g.outbox.EmitData(m.Addr, c, attempts) == nil {
		g.stats.DropRelay++
	} else if c.Entry.Origin != uint64(g.id) {
		g.stats.Relayed++
	}
}

// handOver gives the arc of a silent delegate to another member inside it, or, if none is
// known but the arc is long enough to hold unknown ones, once to the nearest member
// outside. The silent delegate is still sent its copy, without an arc.
func (g *GossipService) handOver(now time.Duration, delegate netip.AddrPort, c *outbox.Copy) {
	arc, silent := c.Arc, g.roster.ByAddr(delegate)
	if silent != nil {
		silent.SuspectUntil = now + suspicion
	}
	c.Arc, c.Flags = view.Arc{}, c.Flags&^wire.FlagArc
	flags := c.Flags&wire.FlagNoOut | wire.FlagRe
	to := g.roster.Inside(arc, silent, g.rng, now)
	if to == nil && flags&wire.FlagNoOut == 0 && uint64(arc.Len()) >= 2*g.roster.LocalGap() {
		to, flags = g.roster.Outside(arc, silent, now), flags|wire.FlagOut|wire.FlagNoOut
	}
	if to != nil {
		g.relay(to, outbox.Copy{Entry: c.Entry, Flags: flags, Hops: c.Hops, Arc: arc}, g.config.RetryAttempts)
	}
}
