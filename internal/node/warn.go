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
	tooLong
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

// warns reports whether to record a mistake that shows in the traffic with an address, and counts
// it as recorded.
func (n *Node) warns(now time.Duration, w warning, at netip.AddrPort) bool {
	due, members, known := &n.warnings.dueAt[w], n.peers.members, 0
	if now < due[0] && now < due[1] {
		return false
	}
	if members.IsSeed(at) || members.ByAddr(at) != nil {
		known = 1
	}
	if now < due[known] {
		return false
	}
	due[known] = now + warnPause
	return true
}

// warn records a mistake, and what to check.
func (n *Node) warn(message, check string, at netip.AddrPort, args ...any) {
	args = append([]any{"address", at}, args...)
	n.record(slog.LevelWarn, "gossip: "+message, append(args, "check", check)...)
}

// warnOfCluster warns of a datagram of another cluster, whose name is known if it is a Hello in
// clear.
func (n *Node) warnOfCluster(now time.Duration, from netip.AddrPort, name []byte) {
	if !n.warns(now, otherCluster, from) {
		return
	}
	args := []any{"ours", n.config.Cluster}
	if name != nil {
		args = append(args, "theirs", string(name))
	}
	n.warn("datagram of another cluster", "that Cluster is the same at both nodes, or the address", from, args...)
}

// warnOfSeal warns of a sealed datagram that does not open.
func (n *Node) warnOfSeal(now time.Duration, from netip.AddrPort) {
	switch {
	case !n.warns(now, otherKeys, from):
	case n.HasRoomForSeals():
		n.warn("sealed datagram that no key opens", "that Keys are the same at both nodes", from)
	default:
		n.warn("sealed datagram, but this node has no Keys", "that this node has the Keys of the cluster", from)
	}
}

// warnOfClear warns of a datagram in clear where Keys are needed.
func (n *Node) warnOfClear(now time.Duration, from netip.AddrPort) {
	if n.warns(now, otherKeys, from) {
		n.warn("datagram in clear, but this node has Keys", "that the node there has the Keys of the cluster", from)
	}
}

const sameSize = "that MaxMessageSize is the same at all nodes"

// compareSize warns of a node whose MaxMessageSize is another one: what is longer than that of
// the smaller one does not reach it.
func (n *Node) compareSize(now time.Duration, at netip.AddrPort, theirs uint16) {
	if ours := n.config.MaxMessageSize; int(theirs) != ours && n.warns(now, otherSize, at) {
		n.warn("node with another MaxMessageSize", sameSize, at, "ours", ours, "theirs", theirs)
	}
}

// warnOfLength warns of a datagram that is longer than MaxMessageSize.
func (n *Node) warnOfLength(now time.Duration, from netip.AddrPort) {
	if n.warns(now, otherSize, from) {
		n.warn("datagram longer than MaxMessageSize", sameSize, from, "ours", n.config.MaxMessageSize)
	}
}

// warnOfTooLong warns of a message that a member is not sent, because it is longer than it takes.
func (n *Node) warnOfTooLong(now time.Duration, to netip.AddrPort, length int) {
	if n.warns(now, tooLong, to) {
		n.warn("message longer than a member takes", sameSize, to, "length", length, "takes", n.roomAt(to))
	}
}

// SendFailed tells the node that the operating system did not send a datagram to an address.
func (n *Node) SendFailed(now time.Duration, to netip.AddrPort, err error) {
	if n.warnings.sendError == nil && n.peers.members.IsSeed(to) {
		n.warnings.sendError = err
	}
	if !n.warns(now, noSend, to) {
		return
	}
	check := "the routes and the firewall of this host"
	if own := n.config.Local.Addr(); own.Is4() && to.Addr().Is6() {
		check = "the addresses: a socket bound to IPv4 reaches IPv4 only, one bound to [::] both"
	}
	n.warn("cannot send", check, to, "error", err.Error())
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
