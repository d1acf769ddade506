package node

import (
	"log/slog"
	"net/netip"
	"time"
)

// warning is a likely mistake in the settings of this node or of another one.
type warning uint8

const (
	otherCluster warning = iota
	otherKeys
	otherSize
	noSend

	warningKinds
)

// warnPause is the time between two warnings of a kind.
const warnPause = time.Minute

// warnings is when a node may warn of a mistake again, and what it warns of.
//
// Bound: in a minute one record of each kind, which anybody may cause, and one of each kind
// about members and seeds, so that a flood of strangers does not hide them; one record each
// time that no seed answers, with at most mostNamed seeds.
type warnings struct {
	dueAt [warningKinds][2]time.Duration // of strangers; of members and seeds

	seeds     []netip.AddrPort // the first of the last Join
	sendError error            // of the operating system, the first in sending to one of them
}

const mostNamed = 8

// warn records a mistake that shows in the traffic with an address. args are called only if the
// record is made.
func (n *Node) warn(now time.Duration, w warning, at netip.AddrPort, message, check string, args func() []any) {
	due := &n.warnings.dueAt[w]
	if now < due[0] && now < due[1] {
		return
	}
	known := 0
	if members := n.peers.members; members.IsSeed(at) || members.ByAddr(at) != nil {
		known = 1
	}
	if now < due[known] {
		return
	}
	due[known] = now + warnPause
	all := []any{"address", at}
	if args != nil {
		all = append(all, args()...)
	}
	n.record(slog.LevelWarn, "gossip: "+message, append(all, "check", check)...)
}

// warnOfCluster warns of a datagram of another cluster, whose name is known if it is a Hello in
// clear.
func (n *Node) warnOfCluster(now time.Duration, from netip.AddrPort, name []byte) {
	n.warn(now, otherCluster, from, "datagram of another cluster", "that Cluster is the same at both nodes, or the address", func() []any {
		args := []any{"ours", n.config.Cluster}
		if name != nil {
			args = append(args, "theirs", string(name))
		}
		return args
	})
}

// warnOfSeal warns of a sealed datagram that does not open.
func (n *Node) warnOfSeal(now time.Duration, from netip.AddrPort) {
	message, check := "sealed datagram that no key opens", "that Keys are the same at both nodes"
	if !n.HasRoomForSeals() {
		message, check = "sealed datagram, but this node has no Keys", "that this node has the Keys of the cluster"
	}
	n.warn(now, otherKeys, from, message, check, nil)
}

// warnOfClear warns of a datagram in clear where Keys are needed.
func (n *Node) warnOfClear(now time.Duration, from netip.AddrPort) {
	n.warn(now, otherKeys, from, "datagram in clear, but this node has Keys", "that the node there has the Keys of the cluster", nil)
}

// compareSize warns of a node whose MaxMessageSize is another one: what is longer than that of
// the smaller one does not reach it.
func (n *Node) compareSize(now time.Duration, at netip.AddrPort, theirs uint16) {
	if int(theirs) == n.config.MaxMessageSize {
		return
	}
	n.warn(now, otherSize, at, "node with another MaxMessageSize", "that MaxMessageSize is the same at all nodes", func() []any {
		return []any{"ours", n.config.MaxMessageSize, "theirs", theirs}
	})
}

// warnOfLength warns of a datagram that is longer than MaxMessageSize.
func (n *Node) warnOfLength(now time.Duration, from netip.AddrPort) {
	n.warn(now, otherSize, from, "datagram longer than MaxMessageSize", "that MaxMessageSize is the same at all nodes", func() []any {
		return []any{"ours", n.config.MaxMessageSize}
	})
}

// SendFailed tells the node that the operating system did not send a datagram to an address.
func (n *Node) SendFailed(now time.Duration, to netip.AddrPort, err error) {
	if n.warnings.sendError == nil && n.peers.members.IsSeed(to) {
		n.warnings.sendError = err
	}
	check := "the routes and the firewall of this host"
	if own := n.config.Local.Addr(); own.Is4() && to.Addr().Is6() {
		check = "the addresses: a socket bound to IPv4 reaches IPv4 only, one bound to [::] both"
	}
	n.warn(now, noSend, to, "cannot send", check, func() []any { return []any{"error", err.Error()} })
}

// askedSeeds notes the seeds that were given to Join.
func (n *Node) askedSeeds(seeds []netip.AddrPort) {
	w := &n.warnings
	w.sendError = nil
	w.seeds = append(w.seeds[:0:0], seeds[:min(len(seeds), mostNamed)]...)
}

// warnOfSilence warns that no seed answers.
func (n *Node) warnOfSilence() {
	args := []any{"count", n.peers.members.Seeds(), "seeds", n.warnings.seeds}
	check := "that a node runs there, that UDP gets through, and that Cluster and Keys are the same"
	if err := n.warnings.sendError; err != nil {
		args = append(args, "error", err.Error())
	}
	n.record(slog.LevelWarn, "gossip: no seed answers", append(args, "check", check)...)
}
