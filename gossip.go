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
//		wait, err := g.Tick()   // do retries, repair and maintenance that are due
//		_, err = g.Send()       // send what is queued
//		_, err = g.Receive(wait) // handle and deliver what came in
//	}
//
// Receive waits no longer than it is told, handles at most 64 datagrams and calls
// the receiver. Send sends at most 256 datagrams, each with as many messages for
// its recipient as fit. Tick returns how long Receive may wait: 0 while anything is
// still to be sent. The three may be called in any order and at any pace: time is
// read from the clock, so a late Tick does its duties late, and infrequent calls of
// Send make fuller datagrams. A loop that waits elsewhere, for its next frame perhaps, calls
// Receive(0) first and Send last in each turn, so that it answers in the turn in which it
// received. Apart from a Receive inside Receive, the three fail only when the node is closed;
// whatever comes from the network, and transient errors of the operating system, are counted
// in Stats. Run is this loop, for programs that do not need their own.
//
// SendData, from any goroutine, queues a message and ends the wait in Receive; Wake
// ends it for any other reason. SendData returns ErrQueueFull when the loop, or the
// cluster, does not keep up: let the loop turn, or call WaitForRoom on another goroutine, then
// try again. A node does not receive its own messages.
//
// # Guarantee
//
// A message accepted by SendData is delivered exactly once to every other node that is
// connected, in any order (with Config.Ordered, in the order of its origin), also through
// cuts and stalls shorter than about 3 s. A node that was away longer, or joins, receives
// what its peers retain (unless SkipHistory is set): each retains the latest messages, up
// to Config.DataLogSize bytes, and its own until another node has acknowledged them. What a
// node misses for good is counted in its Stats.GaveUpUnseen, and what it lacks of the time
// before it was connected in Stats.HistoryMissed. A Direct message is for one node only: it
// is sent until that member acknowledges it or is lost, or, to an address where no member is
// known, RetryAttempts times; then it is counted in Stats.GivenUp.
//
// Nodes track members only to know where to send. This is not a membership service: a
// node may be missing from Members and still receive everything, and a dead one stays
// until somebody has tried to reach it.
//
// # Concurrency
//
// All methods may be called from any goroutine. Callbacks run on the goroutine that
// calls Receive or another method, one at a time and without a lock held; they may call
// all methods except Receive, Run and those that wait. While a callback runs the node does not answer.
// After some seconds its peers consider it lost; they find it again when the callback
// returns, and what it missed is repaired.
//
// # Limits
//
// Everything is bounded, and each type documents its bound: payloads by MaxPayload,
// 480 bytes by default (444 with Keys); queues, view, log and the table of origins by
// Config; the work of one call and the answer to one datagram by constants. A source is
// validated once it has shown that it receives what is sent to its address. A datagram from
// an unvalidated source is answered with at most three times its bytes.
//
// Without Config.Keys messages travel unencrypted and unauthenticated: anyone who can
// send datagrams to the nodes can inject any message. With Keys, only holders of a key
// can.
//
// Package internal/wire describes the datagrams.
package gossip

import (
	"errors"
	"fmt"
	"net"
)

// NodeID identifies one life of a node. It is a random number, chosen by New and
// again whenever a node that left joins again, and never 0. It is also the node's
// place on the ring along which broadcasts spread.
type NodeID uint64

// String returns the id in 16 hexadecimal digits.
func (id NodeID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// Errors that the caller can act on. Returned errors wrap them with details: test with
// errors.Is. Only errors of the operating system, and of a Conn, wrap none of them.
var (
	// ErrState means that the method may not be called in the current state of the
	// node, or that another Receive is in progress.
	ErrState = errors.New("gossip: not legal in this state")
	// ErrTooLarge means that a payload is longer than MaxPayload, or than the member takes that
	// a Direct message is for.
	ErrTooLarge = errors.New("gossip: payload too large")
	// ErrQueueFull means that the data queue has no room now: let the loop turn, or call
	// WaitForRoom on another goroutine, then try again.
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
