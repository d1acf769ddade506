package main

import (
	"context"
	"math/rand/v2"
	"time"

	"example.com/gossip"
)

const (
	// compareEvery is the pace at which a synced replica compares its flags with those of a
	// random other one, so that whatever it missed is here after some of these.
	compareEvery = 10 * time.Second
	// askEvery is the pace at which one that is not synced asks all others again.
	askEvery = 500 * time.Millisecond
	// patience is how long the next part of an answer may take before another replica is asked.
	patience = time.Second
)

// keepSynced gets the flags from another replica, and compares them with others from then on,
// until ctx ends.
//
// One rule serves a replica that has just started and one that was cut off, or stood still, for
// longer than the logs of its peers reach back.
func (r *replica) keepSynced(ctx context.Context) {
	for ctx.Err() == nil {
		pace := askEvery
		if r.node.WaitForMember(ctx) == nil && r.sync(ctx) { // an error: it has not joined yet
			r.synced.Store(true)
			pace = compareEvery
		}
		next := time.NewTimer(pace/2 + rand.N(pace))
		select {
		case <-next.C:
		case <-ctx.Done():
		}
		next.Stop()
	}
}

// sync asks one replica after another, in random order, until one has given all its flags.
func (r *replica) sync(ctx context.Context) bool {
	members := r.node.Members()
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	for _, m := range members {
		if ctx.Err() != nil {
			return false
		}
		if r.syncFrom(ctx, m.Address) {
			r.syncs.Add(1)
			return true
		}
		r.failedSyncs.Add(1)
	}
	return false
}

// syncFrom takes all flags of one replica, an answer after the other: each ask goes on behind
// the last name of the answer before it. What a replica has given before it failed is kept,
// for it is newer than what was here, but another one is asked for everything.
func (r *replica) syncFrom(ctx context.Context, from gossip.Address) bool {
	a := ask{digest: r.store.digest()}
	for range mostHeld { // more answers are a mistake
		a.nonce = rand.Uint64()
		if r.node.SendData(a.append(nil), gossip.Direct(from)) != nil {
			return false
		}
		last, ok := r.collect(ctx, a.nonce)
		if ok && last.end {
			return true
		}
		if !ok || lastName(last) <= a.after {
			return false
		}
		a.after = lastName(last)
	}
	return false
}

func lastName(p page) string { return p.entries[len(p.entries)-1].name }

// collect waits for all pages of an answer, in any order, and returns the last one.
func (r *replica) collect(ctx context.Context, nonce uint64) (last page, ok bool) {
	silence := time.NewTimer(patience)
	defer silence.Stop()
	var got [mostPages]bool
	for missing := mostPages; ; {
		select {
		case <-ctx.Done():
			return last, false
		case <-silence.C:
			return last, false
		case answer := <-r.answers:
			switch m := answer.(type) {
			case refusal:
				if m.nonce == nonce {
					return last, false
				}
			case page:
				if m.nonce != nonce || got[m.index] {
					continue
				}
				if missing == mostPages { // the first one
					missing = m.of
				}
				got[m.index] = true
				missing--
				if m.index == m.of-1 {
					last = m
				}
				if missing == 0 {
					return last, len(last.entries) > 0 || last.end
				}
				silence.Reset(patience)
			}
		}
	}
}

// answer sends the flags that another replica asks for, as many as mostPages datagrams take.
// It goes to the address of the member only, so that nobody can have it sent elsewhere. What
// the queue has no room for is left out; the other replica then asks somebody else.
func (r *replica) answer(origin gossip.NodeID, a ask) {
	to, ok := r.node.Member(origin)
	if !ok {
		return
	}
	if !r.synced.Load() {
		r.refusals.Add(1)
		r.node.SendData(refusal{a.nonce}.append(nil), gossip.Direct(to.Address))
		return
	}
	for _, p := range r.store.answer(a, r.node.MaxPayload()) {
		if r.node.SendData(p.append(nil), gossip.Direct(to.Address)) != nil {
			return
		}
		r.pages.Add(1)
	}
}
