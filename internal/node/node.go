package node

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/fifo"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/token"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// Errors of Publish and Join, which change nothing then.
var (
	ErrFull       = errors.New("node: the data queue is full")
	ErrDirectFull = fmt.Errorf("a Direct message, %d before the last, is on its way still", versions.NarrowWidth)
	ErrNumbers    = errors.New("all numbers of the id are used")
	ErrSeeds      = errors.New("too many seeds")
)

// Node is one node. It is for one goroutine at a time.
type Node struct {
	config Config
	rng    *rand.Rand
	tokens *token.Maker

	self    self
	peers   peers
	out     out
	seals   seals
	history history
	timers  timers

	warnings warnings

	stats   Stats
	events  fifo.Queue[Event]
	lines   share // see mostLines
	leftOut int   // records beyond that

	// Scratch space, so that a datagram needs no allocation.
	in   datagram
	push pusher
	runs []wire.Run
}

// New makes a node whose settings, time and randomness are given.
func New(now time.Duration, c Config, seed [32]byte) *Node {
	n := &Node{config: c, rng: rand.New(rand.NewChaCha8(seed))}
	var secret [32]byte
	for i := range 4 {
		binary.BigEndian.PutUint64(secret[8*i:], n.rng.Uint64())
	}
	n.tokens = token.NewMaker(secret)
	n.peers.questions.by, n.lines.by = map[netip.Addr]int{}, map[netip.Addr]int{}
	n.lines.refill(mostLines)
	n.peers.members = view.NewMembers(0, c.MaxMembers, c.RumorFactor)
	n.history.origins = versions.NewTable(c.origins())
	n.history.log = datalog.New(c.DataLogSize)
	n.history.coverage = newCoverage(c.DataLogSize/datalog.Overhead + versions.Width/blockSize)
	n.history.repair = repair.NewReconciler(n.history.log, n.history.origins)
	n.history.repair.Ordered = c.Ordered
	n.timers.interval, n.timers.compared = c.TickInterval, c.TickInterval/time.Duration(c.RumorFactor)
	n.out.tag, n.out.room = wire.ClusterTag(c.Cluster), c.room()
	n.out.queue = outbox.New(outbox.Config{
		Limit: c.MaxOutputMessages, Room: c.MaxMessageSize, Tag: n.out.tag, AckDelay: c.AckDelay, Span: span,
	}, n.history.log, n.rng)
	n.seals.cluster = []byte(c.Cluster)
	n.SetKeys(c.Keys, sha256.Sum256(seed[:])) // checked by the owner
	n.config.Keys = nil
	n.newIdentity(now)
	return n
}

// newIdentity gives the node a new identity, without a past.
func (n *Node) newIdentity(now time.Duration) {
	n.self.directDone.Reset(0, n.history.origins.Pool())
	n.self.backlog.clear(n.history.log)
	n.self = self{id: n.drawID(), state: n.self.state, observed: n.self.observed, directDone: n.self.directDone}
	if n.self.state == Left {
		n.self.state = Disconnected
	}
	n.observe(n.self.observed)
	n.peers.members.Reset(n.self.id)
	n.peers.questions.refill(mostProbes)
	n.peers.eager, n.peers.asks = mostEager, fifo.Queue[ask]{}
	n.history.origins.Keep(n.self.id)
	n.history.news.Clear()
	n.history.repaired.Clear()
	n.history.wanted = wanted{}
	n.history.compared, n.history.onward, n.history.behind = 0, false, false
	n.peers.late = fifo.Queue[hello]{}
	n.forgetStandby()
	n.history.skipped = 0
	n.history.repair.Rejoin()
	n.timers.reset(now, n.rng)
}

// SetKeys replaces Config.Keys. The seed of the nonces must be new each time, for the process
// may have been copied since the last. What is queued but does not fit in a sealed datagram is
// dropped: it originates from a node without Keys. It is an error, and nothing changes, if
// the node was made without Config.Keys and so has no room for seals.
func (n *Node) SetKeys(keys [][]byte, seed [32]byte) error {
	keyring, err := seal.New(keys, rand.New(rand.NewChaCha8(seed)).Uint64)
	if err != nil {
		return err
	}
	n.seals.keys = keyring
	n.out.queue.SetApart(keyring.Seals())
	room := n.config.MaxMessageSize
	if keyring.Seals() {
		room = n.out.room
	}
	n.out.queue.SetRoom(room, func(e *outbox.Envelope) {
		n.stats.DropRelay++
		n.abandon(e)
	})
	return nil
}

// Join makes the node a member of the cluster that the seeds belong to, all of which are
// Reachable; without other seeds than itself it is a seed.
func (n *Node) Join(now time.Duration, seeds []netip.AddrPort) error {
	members := n.peers.members
	count := members.Seeds()
	for _, s := range seeds {
		if !members.IsSeed(s) {
			count++
		}
	}
	if count > n.config.MaxMembers {
		return fmt.Errorf("%w: %d are more than MaxMembers, %d", ErrSeeds, count, n.config.MaxMembers)
	}
	n.askedSeeds(seeds)
	active := n.self.active()
	if n.self.state == Left {
		n.newIdentity(now)
		n.seals.keys.Renew() // an answer to the life before is none to this one
	}
	if !active {
		n.self.aloneAt = now
	}
	others := 0
	for _, s := range seeds {
		if s != n.self.address {
			others++
			members.AddSeed(s, now)
			if members.ByAddr(s) == nil {
				n.sendHello(nil, s, 0, Hello)
			}
		}
	}
	if n.config.SkipHistory && !active && others > 0 { // a node on its own has no history to skip
		n.history.repair.SkipHistory()
	}
	if others == 0 {
		n.self.bootstrap = true
		n.forgetBacklog()
		n.setState(now, Connected)
	} else if n.self.state != Connected || members.Len() == 0 && !n.isSeed() { // it was one, with no seed but itself
		n.setState(now, Joining)
	}
	return nil
}

// Publish spreads a payload of at most MaxPayload bytes, which is copied. Errors: ErrFull,
// ErrDirectFull, ErrNumbers.
func (n *Node) Publish(now time.Duration, payload []byte, s Spread) error {
	switch {
	case n.self.counter == 1<<32-1 || n.self.directCounter == 1<<32-1:
		return ErrNumbers
	case !n.Takes(now, len(payload), s):
		return ErrFull
	}
	if s.Kind != Direct {
		n.giveUpOldest(len(payload))
	}
	e, err := n.number(now, payload, s.Kind)
	if err != nil {
		return err
	}
	n.spread(now, e, s)
	n.history.log.Release(e)
	n.stats.Sent++
	return nil
}

// Tick does what is due by the clock.
func (n *Node) Tick(now time.Duration) {
	for e := n.out.queue.Overdue(now); e != nil; e = n.out.queue.Overdue(now) {
		n.unanswered(now, e)
	}
	if n.self.active() {
		n.maintain(now)
	}
}

// Leave says goodbye to all members and forgets them and the seeds. What was queued is
// dropped.
func (n *Node) Leave(now time.Duration) {
	if n.self.state == Left {
		return
	}
	n.out.queue.Clear()
	members := n.peers.members
	for i := range members.Len() {
		m := members.At(i)
		n.out.body = wire.AppendLeave(n.out.body[:0], n.self.id)
		n.emit(nil, m.Addr, Leave)
		n.out.queue.Bind(m.Addr, wire.ToID, m.ID) // it is no member when that is sent
	}
	members.Reset(0)
	n.self.backlog.clear(n.history.log)
	n.setState(now, Left)
}

// Close ends the node at once. Messages that were not taken as events are dropped.
func (n *Node) Close(now time.Duration) {
	n.out.queue.Clear()
	n.self.backlog.clear(n.history.log)
	for range n.events.Len() {
		if e, _ := n.events.Pop(); e.entry != nil {
			n.Release(e)
		} else {
			n.events.Push(e)
		}
	}
	n.setState(now, Destroyed)
}
