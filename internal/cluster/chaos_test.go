package cluster

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

var (
	chaosSeeds = flag.Int("chaos", 100, "how many seeds TestChaos runs")
	chaosFirst = flag.Uint64("chaos-seed", 0, "the first of them")
)

// TestChaos runs random clusters through random trouble, and checks what must hold at the end:
// nothing was delivered twice, queues are empty, nodes know one another, and each message that a
// node lacks is counted there as given up. A seed that fails replays with -chaos 1 -chaos-seed N;
// what is printed is a schedule without the steps that the failure does not need.
func TestChaos(t *testing.T) {
	heavy(t)
	for i := range uint64(*chaosSeeds) {
		seed := *chaosFirst + i
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			plan := newPlan(seed)
			if failure := plan.run(t); failure != "" {
				shorter := plan.shrink(t, 40)
				t.Errorf("seed %d: %s\nA schedule that is enough:\n%v\n%s", seed, failure, shorter, shorter.run(t))
			}
		})
	}
}

// plan is a cluster and what happens to it, all of it drawn from one seed.
type plan struct {
	seed   uint64
	nodes  int
	config node.Config
	net    simnet.Config
	steps  []step
}

// step is one thing that happens.
type step struct {
	at    time.Duration
	what  string
	node  int           // index of the node concerned
	other int           // of another one
	lasts time.Duration // how long
	value float64       // loss, or messages per second
	count int           // messages
}

func (s step) String() string {
	return fmt.Sprintf("\tat %v %s node %d other %d lasts %v value %.2g count %d", s.at.Round(time.Millisecond), s.what, s.node, s.other, s.lasts.Round(time.Millisecond), s.value, s.count)
}

func (p plan) String() string {
	lines := []string{fmt.Sprintf("%d nodes, %+v, %+v", p.nodes, p.config, p.net)}
	for _, s := range p.steps {
		lines = append(lines, s.String())
	}
	return strings.Join(lines, "\n")
}

var chaosSteps = []string{"stream", "stream", "stream", "burst", "loss", "cut", "one-way cut", "freeze", "slow", "crash", "leave", "join"}

// chaosLasts is how long trouble goes on before all is repaired.
const chaosLasts = 20 * time.Second

func newPlan(seed uint64) plan {
	r := rand.New(rand.NewPCG(seed, 0xc4a05))
	one := func(all ...int) int { return all[r.IntN(len(all))] }
	p := plan{seed: seed, nodes: one(2, 2, 3, 5, 8, 13, 24, 40)}
	p.net = simnet.Config{Seed: seed, LatencyMin: time.Duration(r.IntN(10)) * time.Millisecond}
	p.net.LatencyMax = p.net.LatencyMin + time.Duration(1+r.IntN(20))*time.Millisecond
	p.net.Duplicate = []float64{0, 0, 0.05}[r.IntN(3)]
	p.config = node.Config{
		MaxOutputMessages: one(1024, 1024, 256, 32),
		DataLogSize:       one(256<<10, 256<<10, 4<<20, 32<<10),
		MaxMessageSize:    one(512, 512, 1400),
		Ordered:           r.IntN(4) == 0,
		TickInterval:      time.Duration(one(1000, 1000, 300)) * time.Millisecond,
	}
	for range 3 + r.IntN(12) {
		p.steps = append(p.steps, step{
			at: time.Duration(r.Int64N(int64(chaosLasts))), what: chaosSteps[r.IntN(len(chaosSteps))],
			node: r.IntN(p.nodes), other: r.IntN(p.nodes),
			lasts: time.Duration(one(100, 500, 1000, 2000, 2500, 8000)) * time.Millisecond,
			value: []float64{0.01, 0.05, 0.2, 0.4}[r.IntN(4)], count: one(1, 20, 200, 1000),
		})
	}
	slices.SortFunc(p.steps, func(a, b step) int { return int(a.at - b.at) })
	return p
}

// shrink returns a plan with fewer steps that fails too, after at most that many runs.
func (p plan) shrink(t *testing.T, runs int) plan {
	for i := 0; i < len(p.steps) && runs > 0; runs-- {
		fewer := p
		fewer.steps = slices.Delete(slices.Clone(p.steps), i, i+1)
		if fewer.run(t) != "" {
			p = fewer
		} else {
			i++
		}
	}
	return p
}

// chaos is a plan being run.
type chaos struct {
	*cluster
	config  node.Config
	cuts    []func(from, to netip.AddrPort) bool
	sent    map[string]bool // payloads that were accepted
	seen    map[string]int  // deliveries by node, life and payload
	twice   string          // the first that happened twice
	left    map[*simNode]bool
	refused int
}

// run runs the plan and says what does not hold at its end, "" if all does.
func (p plan) run(t *testing.T) string {
	c := &chaos{cluster: newCluster(t, 0, p.net, p.config), config: p.config, sent: map[string]bool{}, seen: map[string]int{}, left: map[*simNode]bool{}}
	for i := range p.nodes {
		config := p.config
		if p.seed%3 == 0 {
			config.Zone = []string{"", "a", "a", "b", "c"}[i%5]
		}
		c.watch(c.add(hostAddr(i), config))
	}
	c.net.SetFilter(func(from, to netip.AddrPort) bool {
		return !slices.ContainsFunc(c.cuts, func(cut func(from, to netip.AddrPort) bool) bool { return cut(from, to) })
	})
	c.form()
	c.net.Run(11 * time.Second) // what is said before may be history
	steady := slices.Clone(c.nodes)
	start := c.net.Now()
	for _, s := range p.steps {
		c.net.At(start+s.at, func() { c.do(s) })
	}
	c.net.Run(chaosLasts + 10*time.Second)
	c.net.SetLoss(0)
	c.cuts = nil
	if _, ok := c.within(time.Minute, c.complete); !ok {
		return "a minute after the end of all trouble not all nodes know one another\n" + c.describe()
	}
	if _, ok := c.within(time.Minute, c.quiet); !ok {
		return "a minute after the end of all trouble something is queued\n" + c.describe()
	}
	c.net.Run(40 * time.Second)
	if missing := c.missing(); missing != "" && p.gentle() {
		return missing
	}
	if wrong := c.miscounted(steady); wrong != "" {
		return wrong
	}
	return c.verdict()
}

// miscounted says which of the nodes that were there before the first message, and were never
// stopped, does not count exactly the messages that it lacks, "" if none is. A message that fewer
// than two others have may be unknown to it: one alone is not believed.
func (c *chaos) miscounted(steady []*simNode) string {
	spread := map[string]int{}
	for _, n := range c.up() {
		for text := range n.got {
			if n.life == 1 { // it remembers them
				spread[text]++
			}
		}
	}
	for _, n := range steady {
		if n.down || n.life > 1 || c.left[n] {
			continue
		}
		lacks, unknown := uint64(0), uint64(0)
		for text := range c.sent {
			switch {
			case strings.HasPrefix(text, n.addr.String()+" ") || n.got[text] > 0:
			case spread[text] > 1:
				lacks++
			default:
				unknown++
			}
		}
		if s := n.Stats(); s.GaveUpUnseen < lacks || s.GaveUpUnseen > lacks+unknown {
			return fmt.Sprintf("%v lacks %d messages that others have and %d that at most one has, but counts %d: %+v", n.addr, lacks, unknown, s.GaveUpUnseen, s)
		}
	}
	return ""
}

// gentle reports whether the plan has no trouble that lasts long enough for a member to be lost,
// no node that goes or comes, and no slow one where order is kept and waited for: then nothing may be
// missing.
func (p plan) gentle() bool {
	return !slices.ContainsFunc(p.steps, func(s step) bool {
		switch s.what {
		case "crash", "leave", "join":
			return true
		case "slow":
			return p.config.Ordered
		case "cut", "one-way cut", "freeze":
			return s.lasts > 2*time.Second
		}
		return false
	})
}

// missing says which accepted message is missing at which node, "" if none is.
func (c *chaos) missing() string {
	all, example := 0, ""
	for _, n := range c.up() {
		for text := range c.sent {
			if !strings.HasPrefix(text, n.addr.String()) && n.got[text] == 0 {
				all++
				example = fmt.Sprintf("%v lacks %q", n.addr, text)
			}
		}
	}
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("%d deliveries of %d messages are missing: %s\n%s", all, len(c.sent), example, c.describe())
}

// watch notes the deliveries at a node.
func (c *chaos) watch(n *simNode) {
	n.onDeliver = func(_ uint64, payload []byte) {
		key := fmt.Sprintf("%v life %d %q", n.addr, n.life, payload)
		if c.seen[key]++; c.seen[key] > 1 && c.twice == "" {
			c.twice = key
		}
	}
}

// quiet reports whether no node has Data queued.
func (c *chaos) quiet() bool {
	return !slices.ContainsFunc(c.up(), func(n *simNode) bool { return n.Stats().QueuedData > 0 })
}

// do takes a step.
func (c *chaos) do(s step) {
	n, now := c.nodes[s.node], c.net.Now()
	until := func(f func()) { c.net.At(now+s.lasts, f) }
	switch s.what {
	case "stream":
		c.publishAt(n, s.count, s.lasts/time.Duration(s.count))
	case "burst":
		for _, x := range c.up() {
			c.publishAt(x, min(s.count, 50), 0)
		}
	case "loss":
		c.net.SetLoss(s.value)
		until(func() { c.net.SetLoss(0) })
	case "cut", "one-way cut":
		a, b := n.addr, c.nodes[s.other].addr
		cut := func(from, to netip.AddrPort) bool {
			return (from == a) != (to == a) && (s.what == "cut" && s.count > 1 || from == a && (s.count > 1 || to == b))
		}
		c.cuts = append(c.cuts, cut)
		i := len(c.cuts) - 1
		until(func() {
			if i < len(c.cuts) {
				c.cuts[i] = func(_, _ netip.AddrPort) bool { return false }
			}
		})
	case "freeze":
		if end := n.end; !n.down {
			end.Freeze()
			until(end.Thaw)
		}
	case "slow":
		n.sendEvery = min(s.lasts, 200*time.Millisecond)
		until(func() { n.sendEvery = 0 })
	case "crash":
		if !n.down && s.node > 0 {
			n.crash()
			until(func() { n.restart(c.nodes[0]) })
		}
	case "leave":
		if !n.down && s.node > 0 && n.State() == node.Connected {
			n.leave()
			c.left[n] = true
			until(func() {
				if !n.down {
					n.join(c.nodes[0])
				}
			})
		}
	case "join":
		x := c.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(len(c.nodes) >> 8), byte(len(c.nodes))}), 7070), c.config)
		c.watch(x)
		x.join(c.nodes[0])
	}
}

// publishAt publishes messages one after the other at a pace, and heeds node.ErrFull.
func (c *chaos) publishAt(n *simNode, count int, pace time.Duration) {
	life := n.life
	var next func()
	next = func() {
		for ; count > 0 && n.life == life && !n.down && !n.end.Frozen(); count-- {
			text := fmt.Sprintf("%v life %d message %d", n.addr, life, len(c.sent))
			err := n.tryPublish([]byte(text))
			if errors.Is(err, node.ErrFull) {
				c.refused++
				break
			}
			if err != nil {
				return // not CONNECTED
			}
			c.sent[text] = true
			if pace > 0 {
				count--
				break
			}
		}
		if count > 0 {
			c.net.After(max(pace, time.Millisecond), next)
		}
	}
	next()
}

// verdict says what does not hold, "" if all does.
func (c *chaos) verdict() string {
	if c.twice != "" {
		return "delivered twice: " + c.twice
	}
	for _, n := range c.up() {
		s := n.Stats()
		if s.RetainedBytes > max(withDefaults(n.config).DataLogSize, 0) {
			return fmt.Sprintf("%v retains %d bytes: %+v", n.addr, s.RetainedBytes, s)
		}
	}
	return ""
}
