package gossip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a story of nodes that know one another, whose waits are on goroutines. Time is
// virtual.
func bubble(t *testing.T, size int, config Config, story func(t *testing.T, v *virtualNet, n *virtualNode)) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtualNet(t, uint64(size))
		for range size {
			v.add(config)
		}
		v.form(v.nodes...)
		v.Run(10 * time.Second)
		story(t, v, v.nodes[0])
	})
}

// waiters are calls of a wait, each on a goroutine.
type waiters struct {
	ended chan error
	count int
}

func begin(count int, wait func(context.Context) error, ctx context.Context) waiters {
	w := waiters{make(chan error, count), count}
	for range count {
		go func() { w.ended <- wait(ctx) }()
	}
	synctest.Wait()
	return w
}

// none reports whether none of them has ended.
func (w waiters) none() bool {
	synctest.Wait()
	return len(w.ended) == 0
}

// all reports whether all of them have ended, and each with err.
func (w waiters) all(err error) bool {
	synctest.Wait()
	if len(w.ended) != w.count {
		return false
	}
	for range w.count {
		if got := <-w.ended; !errors.Is(got, err) {
			return false
		}
	}
	return true
}

// fill sends until the queue is full.
func (n *virtualNode) fill(spread ...Spread) (sent int) {
	for {
		err := n.SendData([]byte("x"), spread...)
		if errors.Is(err, ErrQueueFull) {
			return sent
		}
		n.want(err == nil, "SendData: %v", err)
		sent++
	}
}

func TestWaitForRoomEndsWhenHalfOfTheQueueIsFree(t *testing.T) {
	for _, size := range []int{2, 3, 20} {
		for _, most := range []int{1, 2, 100, 1024} {
			bubble(t, size, Config{MaxOutputMessages: most}, func(t *testing.T, v *virtualNet, n *virtualNode) {
				n.want(n.WaitForRoom(t.Context()) == nil, "there is room, but WaitForRoom fails")
				n.held = true
				first := n.fill()
				w := begin(3, n.WaitForRoom, t.Context())
				n.want(w.none(), "the queue is full, but WaitForRoom has ended")
				n.release()
				v.await(time.Minute, "all waits end", func() bool { return w.all(nil) })
				n.held = true
				again := n.fill()
				n.want(again > 0 && again >= first/2-1, "of a queue of %d messages there is room for %d after the wait", first, again)
			})
		}
	}
}

// Whoever was refused waits for half of the queue, not for the next free place; who was not, while
// nothing fits.
func TestWaitForRoomPassesOverSingleFreePlaces(t *testing.T) {
	bubble(t, 2, Config{}, func(t *testing.T, v *virtualNet, n *virtualNode) {
		n.held = true
		for range 1024 {
			n.publish("x")
		}
		n.want(begin(1, n.WaitForRoom, t.Context()).none(), "the queue is full, but WaitForRoom has ended")
	})
	bubble(t, 2, Config{}, func(t *testing.T, v *virtualNet, n *virtualNode) {
		n.held = true
		n.fill()
		n.Send() // what the first window takes
		n.want(n.node.Takes(v.Now(), 1, Broadcast.as) && !n.node.HasRoom(v.Now()), "the queue is not between full and half full")
		w := begin(1, n.WaitForRoom, t.Context())
		n.want(w.none(), "there is room for few messages, but WaitForRoom has ended")
		n.publish("y")
		n.release()
		v.await(time.Minute, "the wait ends", func() bool { return w.all(nil) })
	})
}

// Each verb of the loop ends the waits for what it has brought.
func TestWaitsEndWithTheVerbThatBringsWhatTheyWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtualNet(t, 1)
		seed, n := v.add(Config{}), v.add(Config{DataLogSize: 1000})
		seed.join()
		n.join(seed.Address())
		n.turn()
		n.held = true
		w := begin(1, n.WaitForMember, t.Context())
		v.Run(time.Second)
		n.want(w.none(), "nothing was received, but WaitForMember has ended")
		n.Receive(0)
		n.want(w.all(nil), "Receive has brought a member, but WaitForMember goes on")

		alone := v.add(Config{DataLogSize: 1000})
		alone.join(virtualAddr(77))
		alone.fill()
		alone.held = true
		w = begin(1, alone.WaitForRoom, t.Context())
		v.Run(3 * time.Minute)
		n.want(w.none(), "the loop stands still, but WaitForRoom has ended")
		alone.Tick()
		n.want(w.all(nil), "Tick has found room, but WaitForRoom goes on")
	})
}

// One recipient may have only a part of the queue: while that is full there is no room for a
// Broadcast.
func TestWaitForRoomHeedsEachRecipient(t *testing.T) {
	bubble(t, 4, Config{}, func(t *testing.T, v *virtualNet, n *virtualNode) {
		n.held = true
		n.fill(Direct(v.nodes[1].Address()))
		n.want(errors.Is(n.SendData(nil), ErrQueueFull), "there is room for a Broadcast")
		w := begin(1, n.WaitForRoom, t.Context())
		n.want(w.none(), "one member has no room, but WaitForRoom has ended")
		n.release()
		v.await(time.Minute, "the wait ends", func() bool { return w.all(nil) })
		n.want(n.SendData(nil) == nil, "there is no room after the wait")
	})
}

func TestWaitForRoomHeedsTheWindowOfDirectMessages(t *testing.T) {
	bubble(t, 2, Config{MaxOutputMessages: 1 << 14}, func(t *testing.T, v *virtualNet, n *virtualNode) {
		n.held = true
		n.want(n.fill(Direct(v.nodes[1].Address())) == 1024, "another number of Direct messages than 1024 is on its way")
		w := begin(1, n.WaitForRoom, t.Context())
		n.want(w.none(), "no Direct message can be sent, but WaitForRoom has ended")
		n.release()
		v.await(time.Minute, "the wait ends", func() bool { return w.all(nil) })
		n.want(n.SendData(nil, Direct(v.nodes[1].Address())) == nil, "there is no room after the wait")
	})
}

// Nothing leaves a node without members bit by bit, so it has room until nothing fits.
func TestWaitForRoomOfANodeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtualNet(t, 1)
		n := v.add(Config{DataLogSize: 4096})
		n.join(virtualAddr(1))
		sent := 0
		for ; n.SendData([]byte("x")) == nil; sent++ {
			w := begin(1, n.WaitForRoom, t.Context())
			if !w.all(nil) {
				break
			}
		}
		n.want(sent > 12, "there is no room after %d messages", sent)
		n.fill()
		w := begin(1, n.WaitForRoom, t.Context())
		v.Run(100 * time.Second)
		n.want(w.none(), "the log is full, but WaitForRoom has ended")
		v.Run(30 * time.Second)
		n.want(w.all(nil), "after two minutes the oldest messages may go, but WaitForRoom goes on")
		n.want(n.Stats().Unheard == 0, "the wait has cost %d messages", n.Stats().Unheard)
		n.publish("one more")

		w = begin(1, n.WaitForRoom, t.Context())
		peer := v.add(Config{})
		peer.join()
		v.await(time.Minute, "a member takes what waits", func() bool { return len(n.Members()) == 1 && n.Stats().QueuedData == 0 })
		n.want(w.all(nil), "there is room, but WaitForRoom goes on")
	})
}

func TestWaitForAcksEndsWhenAllHasArrived(t *testing.T) {
	bubble(t, 5, Config{}, func(t *testing.T, v *virtualNet, n *virtualNode) {
		n.want(n.WaitForAcks(t.Context()) == nil, "nothing was sent, but WaitForAcks fails")
		for _, spread := range []Spread{Broadcast, Random, Direct(v.nodes[3].Address())} {
			n.publish("x", spread)
			w := begin(3, n.WaitForAcks, t.Context())
			n.want(w.none(), "nothing is acknowledged, but WaitForAcks has ended")
			v.await(time.Minute, "all waits end", func() bool { return w.all(nil) })
			v.nodes[1].publish("not its own")
			n.want(n.WaitForAcks(t.Context()) == nil, "messages of others are waited for")
		}
		v.Run(time.Second)
		before := len(v.nodes[4].got)
		n.held = true
		sent := n.fill()
		w := begin(1, n.WaitForAcks, t.Context())
		n.release()
		v.await(time.Minute, "the wait ends", func() bool { return w.all(nil) })
		n.want(n.Leave() == nil, "Leave failed")
		n.turnAt(v.Now())
		v.Run(5 * time.Second)
		n.want(len(v.nodes[4].got) == before+sent, "of %d messages before Leave a member has %d", sent, len(v.nodes[4].got)-before)
	})
}

func TestWaitForAcksEndsWhenAllIsCounted(t *testing.T) {
	bubble(t, 3, Config{}, func(t *testing.T, v *virtualNet, n *virtualNode) {
		n.publish("to nobody", Direct(virtualAddr(77)))
		w := begin(1, n.WaitForAcks, t.Context())
		n.want(w.none(), "nothing is acknowledged, but WaitForAcks has ended")
		v.await(10*time.Second, "the wait ends", func() bool { return w.all(nil) })
		n.want(n.Stats().GivenUp == 1, "%d messages are counted as given up", n.Stats().GivenUp)

		v.nodes[1].crash()
		n.publish("to a crashed member too")
		w = begin(1, n.WaitForAcks, t.Context())
		v.await(10*time.Second, "the wait ends", func() bool { return w.all(nil) })

		v.nodes[2].crash()
		n.publish("to nobody yet")
		w = begin(1, n.WaitForAcks, t.Context())
		v.Run(time.Minute)
		n.want(w.none(), "no node has the message, but WaitForAcks has ended")
	})
}

// A seed of its own has no one to wait for.
func TestWaitForAcksOfASeedAlone(t *testing.T) {
	n := newVirtualNet(t, 1).add(Config{})
	n.join()
	n.publish("x")
	n.want(n.WaitForAcks(t.Context()) == nil, "WaitForAcks fails")
}

func TestWaitForMemberEndsWithTheFirstOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtualNet(t, 1)
		seed, n := v.add(Config{}), v.add(Config{})
		seed.join()
		n.join(seed.Address())
		of := begin(2, seed.WaitForMember, t.Context())
		to := begin(2, n.WaitForMember, t.Context())
		n.want(of.none() && to.none(), "WaitForMember ends without a member")
		v.await(time.Minute, "the waits end", func() bool { return len(seed.Members()) == 1 && len(n.Members()) == 1 })
		n.want(of.all(nil) && to.all(nil), "there are members, but WaitForMember goes on")
		n.want(n.WaitForMember(t.Context()) == nil, "there is a member, but WaitForMember fails")
	})
}

// waitsOf returns the three waits, of a node for which none of them is over.
func waitsOf(n *virtualNode) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"WaitForRoom": n.WaitForRoom, "WaitForAcks": n.WaitForAcks, "WaitForMember": n.WaitForMember,
	}
}

func TestWaitsEndWithTheirContextAndTheNode(t *testing.T) {
	for _, name := range []string{"WaitForRoom", "WaitForAcks", "WaitForMember"} {
		synctest.Test(t, func(t *testing.T) {
			v := newVirtualNet(t, 1)
			n := v.add(Config{DataLogSize: 1000})
			wait := waitsOf(n)[name]
			n.want(errors.Is(wait(t.Context()), ErrState), "%s before Join returns %v", name, wait(t.Context()))
			n.join(virtualAddr(1))
			n.fill()

			ctx, cancel := context.WithCancel(t.Context())
			canceled := begin(2, wait, ctx)
			short, done := context.WithTimeout(t.Context(), time.Second)
			defer done()
			expired := begin(2, wait, short)
			others := begin(2, wait, t.Context())
			n.want(canceled.none() && expired.none() && others.none(), "%s does not wait", name)
			cancel()
			n.want(canceled.all(context.Canceled) && expired.none() && others.none(), "%s does not end with its context only", name)
			time.Sleep(time.Second)
			n.want(expired.all(context.DeadlineExceeded) && others.none(), "%s does not end at its deadline", name)
			n.want(n.Leave() == nil && others.all(ErrState), "%s does not end with Leave", name)
			n.want(errors.Is(wait(t.Context()), ErrState), "%s after Leave returns %v", name, wait(t.Context()))

			n.join(virtualAddr(1))
			n.fill()
			others = begin(2, wait, t.Context())
			n.want(others.none(), "%s does not wait after Join", name)
			n.want(n.Close() == nil && others.all(ErrClosed), "%s does not end with Close", name)
			n.want(errors.Is(wait(t.Context()), ErrClosed), "%s after Close returns %v", name, wait(t.Context()))
		})
	}
}

// The loop of a node would wait for itself.
func TestWaitsRefuseToBlockACallback(t *testing.T) {
	bubble(t, 2, Config{}, func(t *testing.T, v *virtualNet, n *virtualNode) {
		called := 0
		n.hook = func(NodeID, []byte) {
			called++
			n.want(n.WaitForMember(t.Context()) == nil, "there is a member, but WaitForMember fails")
			n.want(n.SendData([]byte("x")) == nil, "SendData fails")
			err := n.WaitForAcks(t.Context())
			n.want(errors.Is(err, ErrState), "WaitForAcks in a callback returns %v", err)
			n.want(begin(1, n.WaitForAcks, t.Context()).none(), "WaitForAcks on another goroutine does not wait")
		}
		v.nodes[1].publish("go")
		v.Run(time.Second)
		n.want(called == 1, "the receiver was called %d times", called)
	})
}

// Run leaves when all has arrived, and after a second at the latest.
func TestServiceRunWaitsForAcksBeforeItLeaves(t *testing.T) {
	peer, n := startLoop(t, "127.0.0.1:0", Config{}), newLoop(t, "127.0.0.1:0", Config{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n.loop.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	form(peer, n)
	n.pause = func() {}
	for i := range 200 {
		for {
			err := n.SendData(fmt.Append(nil, i))
			if err == nil {
				break
			}
			if err = n.WaitForRoom(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	n.loop.Wait()
	for i := range 200 {
		wantOnce(t, fmt.Sprint(i), peer)
	}
}

func TestWaitsCostNothingWhileNobodyWaits(t *testing.T) {
	v := newVirtualNet(t, 1)
	n, peer := v.add(Config{}), v.add(Config{})
	v.form(n, peer)
	n.fill()
	n.mu.Lock()
	defer n.mu.Unlock()
	if allocs := testing.AllocsPerRun(100, func() { n.endWaits(v.Now()) }); allocs > 0 {
		t.Errorf("what ends waits allocates %v times while there is none", allocs)
	}
}

func TestServiceRunWaitsASecondAtMost(t *testing.T) {
	n := newLoop(t, "127.0.0.1:0", Config{})
	nobody := newLoop(t, "127.0.0.1:0", Config{})
	n.join(nobody)
	n.publish("to nobody")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Run(over); err != nil || n.State() != StateDisconnected {
		t.Errorf("Run returned %v and left the node %v", err, n.State())
	}
}

// A wait that nobody's loop could end tells why it lasted until its deadline.
func TestWaitWithoutALoopSaysSo(t *testing.T) {
	for _, turns := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			v := newVirtualNet(t, 1)
			n := v.add(Config{})
			n.join(virtualAddr(1))
			ctx, done := context.WithTimeout(t.Context(), time.Second)
			defer done()
			result := make(chan error)
			go func() { result <- n.WaitForMember(ctx) }()
			synctest.Wait()
			if turns {
				v.Run(time.Second)
			}
			err := <-result
			n.want(errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "the loop did not turn") == !turns, "with turns of the loop: %v, the wait ends with %v", turns, err)
		})
	}
}
