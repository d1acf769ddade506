package gossip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// verbProgram calls the verbs of a node in any order, and from its callbacks. A program is a
// byte of settings and then steps, each a letter and what it needs, a byte each:
//
//	t Tick   o Send   i Receive   u SendData   j Join   l Leave   e SetKeys   z Close
//	p the peer sends a message   r time passes   c the next callback does a step, or panics
type verbProgram struct {
	*virtualNode
	peer     *virtualNode
	steps    []byte
	callback byte // the step that the next callback does; x: it panics
	sealed   bool
	left     bool // Leave was called, and not Join since
	sent     int
	latest   State
	inside   bool // a callback
}

func newVerbProgram(t *testing.T, program []byte) *verbProgram {
	v := newVirtualNet(t, 1)
	v.SetLatency(0, time.Millisecond)
	p := &verbProgram{steps: program[1:], sealed: program[0]&2 != 0}
	config := Config{Ordered: program[0]&1 != 0, OnStateChange: func(old, new State) {
		p.want(old == p.latest && old != new, "the state changes from %v to %v after %v", old, new, p.latest)
		p.latest = new
		p.call()
	}}
	if p.sealed {
		config.Keys = [][]byte{nil}
	}
	if program[0]&4 != 0 {
		config.MaxOutputMessages, config.MaxMembers, config.DataLogSize = 4, 9, 1024
	}
	p.virtualNode, p.peer = v.add(config), v.add(Config{Ordered: true})
	p.held = true
	p.hook = func(NodeID, []byte) { p.call() }
	p.peer.join()
	return p
}

func (p *verbProgram) next() (b byte) {
	if len(p.steps) > 0 {
		b, p.steps = p.steps[0], p.steps[1:]
	}
	return b
}

// call is any callback.
func (p *verbProgram) call() {
	p.want(unlocked(p.GossipService), "a callback is called with the lock held")
	step := p.callback
	p.callback, p.inside = 0, true
	defer func() { p.inside = false }()
	switch {
	case step == 'x':
		panic(thrown)
	case strings.IndexByte("toiujlez", step) >= 0:
		p.do(step)
	}
}

// legal fails if a verb returned an error that it must not return.
func (p *verbProgram) legal(verb string, closed bool, err error, others ...error) {
	ok := err == nil && !closed || errors.Is(err, ErrClosed) && p.State() == StateDestroyed
	for _, other := range others {
		ok = ok || !closed && errors.Is(err, other)
	}
	p.want(ok, "%s of a node that is %v returns %v", verb, p.State(), err)
}

func (p *verbProgram) do(step byte) {
	closed := p.State() == StateDestroyed
	var illegal []error // in this state
	if p.left || p.State() == StateInitialized {
		illegal = []error{ErrState}
	}
	switch step {
	case 't':
		wait, err := p.Tick()
		p.legal("Tick", closed, err)
		p.want(wait >= 0 && wait <= time.Second, "Tick returns %v", wait)
	case 'o':
		n, err := p.Send()
		p.legal("Send", closed, err)
		p.want(n <= sendBurst, "Send sent %d datagrams", n)
	case 'i':
		inside := p.inside
		n, err := p.Receive(0)
		if !inside || !errors.Is(err, ErrState) { // this callback may be called by Receive
			p.legal("Receive", closed, err)
		}
		p.want(n <= receiveBurst, "Receive handled %d datagrams", n)
	case 'u':
		spread := []Spread{{}, Broadcast, Random, Direct(p.peer.Address())}[p.next()%4]
		err := p.SendData(fmt.Appendf(nil, "message %06d", p.sent), spread)
		p.sent++
		p.legal("SendData", closed, err, append(illegal, ErrQueueFull)...)
		p.want(err != nil || illegal == nil, "SendData of a node that is %v, left %v, is no error", p.State(), p.left)
	case 'j':
		seeds := []Address{p.peer.Address(), virtualAddr(77)}[:p.next()%3]
		p.left = p.left && closed // before its callbacks
		p.legal("Join", closed, p.Join(seeds...))
	case 'l':
		was := p.left
		p.left = p.left || illegal == nil && !closed
		if err := p.Leave(); was {
			p.legal("Leave", closed, err)
		} else {
			p.legal("Leave", closed, err, illegal...)
		}
	case 'e':
		keys := [][][]byte{{nil}, {nil, testKey('k')}, {}}[p.next()%3]
		err := p.SetKeys(keys...)
		p.legal("SetKeys", closed, err, ErrConfig)
		p.want(closed || (err == nil) == (p.sealed && len(keys) > 0), "SetKeys returns %v", err)
	case 'z':
		p.want(p.Close() == nil, "Close failed")
	case 'p':
		p.peer.publish(fmt.Sprintf("message %06d", p.sent))
		p.sent++
	case 'r':
		p.net.Run(time.Millisecond << (p.next() % 12))
	case 'w':
		over, cancel := context.WithCancel(p.net.t.Context())
		cancel()
		wait := []func(context.Context) error{p.WaitForRoom, p.WaitForAcks, p.WaitForMember}[p.next()%3]
		p.legal("a wait", closed, wait(over), ErrState, context.Canceled)
	case 'c':
		p.callback = p.next()
	}
}

// check fails unless everything is as it must be between two steps.
func (p *verbProgram) check(panicked bool) {
	p.want(unlocked(p.GossipService), "the lock is held")
	p.want(panicked || p.latest == p.State(), "the node is %v, and the last change was to %v", p.State(), p.latest)
	for _, n := range []*virtualNode{p.virtualNode, p.peer} {
		seen, last := map[string]bool{}, ""
		for _, text := range n.got {
			n.want(!seen[text], "%q is delivered again", text)
			n.want(!n.config.Ordered || n == p.peer || text > last, "%q is delivered after %q", text, last)
			seen[text], last = true, text
		}
	}
}

func FuzzVerbs(f *testing.F) {
	meet := "j\x01" + strings.Repeat("tor\x02i", 6)
	for _, program := range []string{
		"\x00ujlez",
		"\x00" + meet + "u\x00u\x01u\x02u\x03w\x00w\x01w\x02" + strings.Repeat("tor\x04i", 6) + "lu\x00olj\x00jzti",
		"\x01" + meet + "pppr\x04iitori",
		"\x02" + meet + "e\x01pe\x00r\x03ie\x02zl",
		"\x04" + meet + strings.Repeat("u\x01", 9) + "tor\x0btoiu\x01",
		"\x00" + meet + "cxpr\x04iti" + "clpr\x04iu\x00to" + meet + "czpr\x04itoi",
		"\x01" + meet + "cipr\x03i" + "ctpr\x03i" + "cupr\x03i\x01" + "cwpr\x03i\x01" + "cjpr\x03i\x00" + "cepr\x03i",
	} {
		f.Add([]byte(program))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) == 0 || len(program) > 200 {
			return
		}
		p := newVerbProgram(t, program)
		for len(p.steps) > 0 {
			step := p.next()
			panicked := p.survive(func() { p.do(step) })
			if strings.IndexByte("tijlz", step) < 0 {
				panicked = true // it makes no calls
			}
			p.check(panicked)
		}
	})
}
