package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Twenty replicas, and so many changes that nobody retains the first ones. One that joins then
// has all flags from the moment at which it answers.
func TestALateReplicaGetsTheWholeState(t *testing.T) {
	inBubble(t, 1, 0.02, func(t *testing.T, c *cluster) {
		const flags, rounds = 200, 8
		all := c.startSynced(20)
		for round := range rounds {
			for n := range flags {
				if n < 150 || round == 0 { // the others stay as they were set long ago
					all[(n+round)%len(all)].set(fmt.Sprintf("flag%d", n), fmt.Sprintf("%d%s", round, strings.Repeat(".", 100)))
				}
			}
			time.Sleep(time.Second)
		}
		c.agree(all, flags)

		late := c.start(all[3])
		for !late.synced.Load() {
			late.shows("/readyz", 503, "has not got the flags")
			late.shows("/flags", 503, "has not got the flags")
			late.shows("/flags/flag0", 503, "has not got the flags")
			if code, _ := late.ask("PUT", "/flags/flag0", "too early"); code != 503 {
				t.Fatalf("seed %d: a replica that is not synced takes a change with %d", c.seed, code)
			}
			time.Sleep(ms)
		}
		late.shows("/readyz", 200, "synced")
		lacks := 0
		for n := range flags {
			round := rounds - 1
			if n >= 150 {
				round = 0
			}
			if _, text := late.ask("GET", fmt.Sprintf("/flags/flag%d", n), ""); !strings.HasPrefix(text, fmt.Sprintf("%d.", round)) {
				lacks++
			}
		}
		if lacks > 0 {
			t.Errorf("seed %d: a replica that answers lacks the value of %d of %d flags", c.seed, lacks, flags)
		}
	})
}

// Each of twenty replicas is replaced, one after another, while flags are written. None that
// answers lacks a flag, and what a new life writes wins over what its former one wrote.
func TestARollingRestartLosesNothing(t *testing.T) {
	inBubble(t, 1, 0.02, func(t *testing.T, c *cluster) {
		const flags = 50
		all := c.startSynced(20)
		for n := range flags {
			all[n%len(all)].set(fmt.Sprintf("flag%d", n), "old")
		}
		c.agree(all, flags)
		for i := range all {
			other := all[(i+1)%len(all)]
			all[i].set("life", fmt.Sprintf("former %d", i))
			all[i].end()
			all[i] = c.start(other)
			other.set(fmt.Sprintf("flag%d", i), "new")
			c.until("a new life is synced", func() bool {
				code, text := all[i].ask("GET", fmt.Sprintf("/flags/flag%d", flags-1), "")
				if code != 503 && (code != 200 || text != "old") {
					t.Fatalf("seed %d: a new life answers %d %q before it has the flags", c.seed, code, text)
				}
				return code == 200
			})
			all[i].set("life", fmt.Sprintf("later %d", i))
		}
		c.agree(all, flags+1)
		all[0].shows("/flags/life", 200, "later 19")
		for i := range all {
			all[0].shows(fmt.Sprintf("/flags/flag%d", i), 200, "new")
		}
	})
}

func TestAReplicaThatDiesWhileItAnswersIsReplacedByAnother(t *testing.T) {
	inBubble(t, 2, 0, func(t *testing.T, c *cluster) {
		const flags = 500 // several answers long
		all := c.startSynced(4)
		for n := range flags {
			all[n%4].set(fmt.Sprintf("flag%d", n), strings.Repeat("x", 200))
		}
		c.agree(all, flags)
		before := map[*life]uint64{}
		for _, l := range all {
			before[l] = l.pages.Load()
		}
		late := c.start(all...)
		c.until("a replica has begun to answer", func() bool {
			return count(all, func(l *life) bool {
				if l.pages.Load() < before[l]+mostPages { // others only hear that they have the same
					return false
				}
				c.network.Down(l.addr)
				return true
			}) > 0
		})
		began := time.Now()
		c.until("the late one is synced", late.synced.Load)
		if d := time.Since(began); d > 5*time.Second { // it may have had the whole of that answer
			t.Errorf("seed %d: after %d failures a replica is synced %v after the one that answered died", c.seed, late.failedSyncs.Load(), d)
		}
		if got := len(late.store.values()); got != flags {
			t.Errorf("seed %d: it has %d of %d flags", c.seed, got, flags)
		}
	})
}

// A replica asks on while it gets nothing, half of an answer, or nonsense.
func TestOnlyAWholeAnswerMakesAReplicaSynced(t *testing.T) {
	some := []entry{{name: "a", value: "1", version: 1, writer: 1}}
	for name, answer := range map[string]func(a ask) []message{
		"nothing":        func(a ask) []message { return nil },
		"a refusal":      func(a ask) []message { return []message{refusal{a.nonce}} },
		"the first page": func(a ask) []message { return []message{page{a.nonce, 0, 2, true, some}} },
		"the last page":  func(a ask) []message { return []message{page{a.nonce, 1, 2, true, some}} },
		"a page twice":   func(a ask) []message { p := page{a.nonce, 0, 2, true, some}; return []message{p, p} },
		"a page missing": func(a ask) []message {
			p := page{a.nonce, 0, 3, true, some}
			return []message{p, p, page{a.nonce, 2, 3, true, some}}
		},
		"one not asked for": func(a ask) []message { return []message{page{a.nonce + 1, 0, 1, true, some}} },
		"the same for ever": func(a ask) []message { return []message{page{a.nonce, 0, 1, false, some}} },
		"malformed pages":   func(a ask) []message { return []message{page{a.nonce, 1, 1, true, some}} },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, 0, func(t *testing.T, c *cluster) {
				fake, asked := c.fake(answer)
				late := c.start(fake)
				for range 20 {
					time.Sleep(500 * ms)
					late.shows("/readyz", 503, "")
				}
				if asked.Load() < 3 {
					t.Fatalf("seed %d: it was asked only %d times", c.seed, asked.Load())
				}
				whole := c.start(late)
				whole.synced.Store(true) // as if it had begun the cluster
				c.until("it has joined", func() bool { return len(whole.node.Members()) == 2 })
				whole.set("b", "2")
				c.until("it is synced by another replica", late.synced.Load)
				c.until("it has the flag", func() bool { // which may come after the answer
					code, text := late.ask("GET", "/flags/b", "")
					return code == 200 && strings.Contains(text, "2")
				})
			})
		})
	}
}

// Replicas that have nothing do not make each other synced, however often they ask. One that
// has begun the cluster does.
func TestSomeReplicaMustBegin(t *testing.T) {
	inBubble(t, 2, 0, func(t *testing.T, c *cluster) {
		later := &life{addr: address(3)}
		a := c.start(later)
		b := c.start(a, later)
		c.until("the two have met", func() bool { return len(a.node.Members()) == 1 && len(b.node.Members()) == 1 })
		for range 60 {
			time.Sleep(time.Second)
			a.shows("/readyz", 503, "has not got the flags")
			b.shows("/flags", 503, "has not got the flags")
		}
		if a.refusals.Load() == 0 || b.refusals.Load() == 0 {
			t.Errorf("seed %d: the two refused %d and %d questions", c.seed, a.refusals.Load(), b.refusals.Load())
		}
		first := c.start()
		first.set("early", "1") // before it knows the others
		c.until("all are synced", func() bool { return a.synced.Load() && b.synced.Load() })
		a.shows("/flags/early", 200, "1")
		b.shows("/flags", 200, `{"early":"1"}`)
	})
}

// The clock of one replica is an hour ahead, and that of all others right. What it writes does
// not win for an hour: whoever has seen it writes a newer version, also in a later life.
func TestTheLastWriteWinsWhateverTheClocks(t *testing.T) {
	inBubble(t, 2, 0.02, func(t *testing.T, c *cluster) {
		all := c.startSynced(5)
		ahead := all[1]
		ahead.store.clock = time.Now().Add(time.Hour).UnixMicro()
		ahead.set("flag", "ahead")
		c.agree(all, 1)
		all[2].set("flag", "seen by 2")
		c.agree(all, 1)
		all[3].shows("/flags/flag", 200, "seen by 2")

		ahead.set("flag", "ahead again")
		c.agree(all, 1)
		all[4].end()
		all[4] = c.start(all[0])
		c.until("the new life is synced", all[4].synced.Load)
		all[4].set("flag", "of a new life")
		c.agree(all, 1)
		all[0].shows("/flags/flag", 200, "of a new life")
		if code, _ := all[0].ask("DELETE", "/flags/flag", ""); code != 204 {
			t.Errorf("seed %d: DELETE is answered with %d", c.seed, code)
		}
		c.agree(all, 0)
	})
}

// Both sides of a partition write, then they agree.
func TestReplicasAgreeAfterAPartition(t *testing.T) {
	inBubble(t, 2, 0.02, func(t *testing.T, c *cluster) {
		all := c.startSynced(6)
		all[0].set("both", "before")
		all[0].set("gone", "before")
		c.agree(all, 2)
		c.network.Partition([]netip.AddrPort{all[3].addr, all[4].addr, all[5].addr})
		all[0].set("both", "left")
		all[0].set("left", "1")
		time.Sleep(time.Second)
		all[5].set("both", "right, a second later")
		all[5].set("right", "1")
		all[5].ask("DELETE", "/flags/gone", "")
		time.Sleep(2 * time.Minute)
		all[0].shows("/flags/both", 200, "left")
		all[5].shows("/readyz", 200, "synced") // it is cut off, and answers with what it has
		c.network.Heal()
		c.agree(all, 3)
		all[0].shows("/flags/both", 200, "right, a second later")
		all[0].shows("/flags/gone", 404, "no such flag")
	})
}

// A replica is cut off while more is written than anybody retains. The messages are lost for it,
// the flags are not.
func TestAReplicaThatMissedMessagesForGoodCatchesUp(t *testing.T) {
	inBubble(t, 2, 0, func(t *testing.T, c *cluster) {
		const flags = 200
		all := c.startSynced(3)
		all[0].set("flag0", "before")
		c.agree(all, 1)
		c.network.Down(all[2].addr)
		time.Sleep(10 * time.Second)
		for round := range 8 {
			for n := range flags {
				if round == 0 || n < 150 {
					all[n%2].set(fmt.Sprintf("flag%d", n), fmt.Sprintf("%d%s", round, strings.Repeat(".", 200)))
				}
			}
			time.Sleep(time.Second)
		}
		c.agree(all[:2], flags)
		c.network.Heal()
		c.agree(all, flags)
		c.until("what it missed is counted", func() bool { return all[2].node.Stats().GaveUpUnseen > 0 })
	})
}

// What was accepted right before the end has been acknowledged at the end.
func TestAReplicaThatEndsHandsOverItsChanges(t *testing.T) {
	inBubble(t, 2, 0.1, func(t *testing.T, c *cluster) {
		all := c.startSynced(3)
		for n := range 100 {
			all[2].set(fmt.Sprintf("flag%d", n), "last words")
		}
		all[2].end()
		c.agree(all[:2], 100)
		for _, l := range all[:2] {
			if n := l.node.Stats().MembersLost; n > 0 {
				t.Errorf("seed %d: a replica that ended in order was taken for lost", c.seed)
			}
		}
	})
}
