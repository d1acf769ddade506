package cluster

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

// mixedSizes forms a cluster in which some nodes have a MaxMessageSize of 512, and the others of
// 1400. It returns both.
func mixedSizes(t *testing.T, small, large int, keys [][]byte) (c *cluster, smalls, larges []*simNode) {
	t.Helper()
	c = newCluster(t, small, lan(1), node.Config{MaxMessageSize: 512, Keys: keys})
	for i := range large {
		c.add(hostAddr(small+i), node.Config{MaxMessageSize: 1400, Keys: keys, Records: true})
	}
	c.form()
	return c, c.nodes[:small], c.nodes[small:]
}

// A message that is too long for a member reaches all others, and costs neither its membership
// nor the messages that it does take. It is warned of, and its sender does not wait for it.
func TestMessageTooLongForAMemberReachesTheOthers(t *testing.T) {
	for _, x := range []struct {
		name         string
		small, large int
		keys         [][]byte
		payload      int
	}{
		{"one small", 1, 1, nil, 1000},
		{"one byte too long", 1, 1, nil, 481},
		{"as an arc makes it too long", 1, 3, nil, 485},
		{"one byte too long, sealed", 1, 2, [][]byte{testKey('k')}, 445},
		{"one small of many", 1, 24, nil, 1368},
		{"one large of many", 24, 1, nil, 1368},
		{"half, sealed", 12, 12, [][]byte{testKey('k')}, 1000},
	} {
		c, smalls, larges := mixedSizes(t, x.small, x.large, x.keys)
		warned := 0
		larges[0].onRecord = func(r node.Record) {
			if r.Level == slog.LevelWarn && strings.Contains(r.Message, "longer than a member takes") {
				warned++
			}
		}
		var long, short []string
		for i := range 20 {
			for _, s := range []node.Spread{{}, {Kind: node.Random}} {
				p := text("long", 2*i+int(s.Kind), x.payload)
				if err := larges[0].Publish(larges[0].now(), []byte(p), s); err != nil {
					t.Fatalf("%s: message %d: %v", x.name, i, err)
				}
				long = append(long, p)
			}
			p := text("short", i, 100)
			if err := larges[0].Publish(larges[0].now(), []byte(p), node.Spread{}); err != nil {
				t.Fatalf("%s: message %d: %v", x.name, i, err)
			}
			short = append(short, p)
			larges[0].wakeAt(c.net.Now())
			c.net.Run(200 * time.Millisecond)
		}
		c.await(5*time.Second, "the sender waits for nothing", larges[0].Settled)
		c.await(5*time.Second, "the others have all", func() bool {
			for _, n := range larges[1:] {
				if n.lacks(long) != "" || n.lacks(short) != "" {
					return false
				}
			}
			return true
		})
		for _, n := range smalls {
			if p := n.lacks(short); p != "" {
				t.Errorf("%s: %v lacks %.10q, which fits", x.name, n.addr, p)
			}
			if s := n.Stats(); s.DropOversize > 0 || s.Delivered != uint64(len(short)) {
				t.Errorf("%s: %v was sent what it does not take: %+v", x.name, n.addr, s)
			}
		}
		for _, n := range c.nodes {
			if s := n.Stats(); s.MembersLost > 0 {
				t.Errorf("%s: %v lost %d members", x.name, n.addr, s.MembersLost)
			}
		}
		if dropped := larges[0].Stats().DropRelay; warned != 1 || dropped == 0 {
			t.Errorf("%s: %d copies are not sent, with %d warnings", x.name, dropped, warned)
		}
	}
}

// The arc of a member that a message is too long for is covered at once, not by repair.
func TestArcOfAMemberThatTakesLessIsCovered(t *testing.T) {
	c, _, larges := mixedSizes(t, 6, 58, nil)
	for i := range 20 {
		p := text("long", i, 1000)
		if err := larges[0].Publish(larges[0].now(), []byte(p), node.Spread{}); err != nil {
			t.Fatal(err)
		}
		larges[0].wakeAt(c.net.Now())
		c.net.Run(time.Second)
	}
	repaired := uint64(0)
	for _, n := range larges[1:] {
		repaired += n.Stats().Repaired
	}
	if all := uint64(20 * (len(larges) - 1)); repaired > all/100 {
		t.Errorf("of %d deliveries %d had to wait for repair", all, repaired)
	}
}

// text returns a payload of a length.
func text(what string, i, length int) string {
	return string(append([]byte(what), make([]byte, length-len(what)-1)...)) + string(rune('0'+i))
}

// lacks returns one of the payloads that was not delivered, if any.
func (n *simNode) lacks(payloads []string) string {
	for _, p := range payloads {
		if n.got[p] != 1 {
			return p
		}
	}
	return ""
}
