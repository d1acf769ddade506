package repair

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// answer is what a node pushes and asks for when it is sent a page.
func answer(t *testing.T, n *node, now time.Duration, first, last uint64, page ...record) (pushed []message, wanted []record) {
	t.Helper()
	to := bottomless()
	digest := carry(t, digestOf(page...), first, last, anyRoom)
	wanted = read(carry(t, n.desk.Compare(now, digest, first, last, anyRoom, to), 1, lastOrigin, anyRoom))
	return to.got, wanted
}

func TestWhatThePageCoversIsNotPushed(t *testing.T) {
	n := roomy().hear(5, run(1, 10))
	pushed, wanted := answer(t, n, old, 0, lastOrigin, record{5, 3, []wire.Run{run(6, 7), run(9, 9)}})
	if want := messages([]record{{5, 3, []wire.Run{run(4, 5), run(8, 8), run(10, 10)}}}); !slices.Equal(pushed, want) {
		t.Fatalf("of messages 1 to 10 somebody has all to 3, 6, 7 and 9 and should be pushed the others in order, %v, not %v", want, pushed)
	}
	if len(wanted) != 0 {
		t.Fatalf("somebody has nothing that is missing here, but these are asked for: %v", wanted)
	}
}

func TestOriginsOfThePageThatItDoesNotNameArePushedWhole(t *testing.T) {
	n := roomy()
	for _, origin := range []uint64{1, 9, 10, 15, 20, 25, 30, 31, lastOrigin} {
		n.hear(origin, run(1, 2))
	}
	for _, c := range []struct {
		why         string
		first, last uint64
		page        []record
		want        []uint64 // those pushed whole
	}{
		{"an empty page of everything", 0, lastOrigin, nil, []uint64{1, 9, 10, 15, 20, 25, 30, 31, lastOrigin}},
		{"an empty page", 10, 30, nil, []uint64{10, 15, 20, 25, 30}},
		{"a page of one origin that it does not name", 15, 15, nil, []uint64{15}},
		{"a page between two origins", 11, 14, nil, nil},
		{"a page that ends before it begins", 30, 10, nil, nil},
		{"a page that names one in the middle", 10, 30, []record{{20, 2, nil}}, []uint64{10, 15, 25, 30}},
		{"a page that names its first and last", 10, 30, []record{{10, 2, nil}, {30, 2, nil}}, []uint64{15, 20, 25}},
		{"a page that names one unknown here", 10, 30, []record{{21, 0, nil}}, []uint64{10, 15, 20, 25, 30}},
		{"a page that names all", 10, 30, []record{{10, 2, nil}, {15, 9, nil}, {20, 2, nil}, {25, 2, nil}, {30, 2, nil}}, nil},
		{"the last page", 31, lastOrigin, []record{{31, 2, nil}}, []uint64{lastOrigin}},
		{"the last origin alone", lastOrigin, lastOrigin, nil, []uint64{lastOrigin}},
	} {
		var want []message
		for _, origin := range c.want {
			want = append(want, message{origin, 1}, message{origin, 2})
		}
		if pushed, _ := answer(t, n, old, c.first, c.last, c.page...); !slices.Equal(pushed, want) {
			t.Errorf("%s should be answered by %v but is by %v", c.why, want, pushed)
		}
	}
}

func TestWhatIsYoungIsNotPushed(t *testing.T) {
	n := roomy()
	n.take(100*time.Millisecond, message{5, 2}, false)
	n.take(150*time.Millisecond, message{5, 1}, false) // it came late
	n.take(130*time.Millisecond, message{6, 1}, true)
	for _, c := range []struct {
		now  time.Duration
		want []message
	}{
		{150 * time.Millisecond, nil},
		{100*time.Millisecond + 2*Young - 1, nil},
		{100*time.Millisecond + 2*Young, []message{{5, 2}}},
		{130*time.Millisecond + 2*Young, []message{{5, 2}, {6, 1}}},
		{150*time.Millisecond + 2*Young, []message{{5, 1}, {5, 2}, {6, 1}}},
	} {
		if pushed, _ := answer(t, n, c.now, 0, lastOrigin); !slices.Equal(pushed, c.want) {
			t.Errorf("at %v messages that came %v ago or earlier are pushed, %v, and not %v", c.now, 2*Young, c.want, pushed)
		}
	}
}

// What was received is hidden for Epoch at least, and for Young at most, for then
// somebody who compares would push what is here.
func TestPagesAdvertiseWhatIsNotYoung(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 10))
		n, born := roomy(), map[message]time.Duration{}
		counters := map[uint64]uint32{}
		now := time.Second
		for range 200 {
			now += time.Duration(r.IntN(12)) * time.Millisecond
			origin := 1 + r.Uint64N(5)
			counters[origin] += 1 + uint32(r.IntN(8)/7) // one of eight is lost
			m := message{origin, counters[origin]}
			n.take(now, m, false)
			born[m] = now

			page, first, last := n.desk.Page(now, anyRoom)
			if first != 0 || last != lastOrigin {
				t.Fatalf("seed %d: a page with room for everything speaks of everything, not of %d to %d", seed, first, last)
			}
			said := map[uint64]record{}
			for _, x := range read(page) {
				said[x.origin] = x
			}
			for m, at := range born {
				switch advertised := said[m.origin].has(m.counter); {
				case advertised && now-at < Epoch:
					t.Fatalf("seed %d: message %v came %v ago and is on its way still, but is advertised", seed, m, now-at)
				case !advertised && now-at >= Young:
					t.Fatalf("seed %d: message %v came %v ago and is young no more, but is not advertised", seed, m, now-at)
				}
			}
			for _, x := range said {
				for c := range counters[x.origin] + 10 {
					if c > 0 && x.has(c) && !n.has(message{x.origin, c}) {
						t.Fatalf("seed %d: message %d of origin %d was never seen, but is advertised", seed, c, x.origin)
					}
				}
			}
		}
	}
}

// Where nothing is lost nothing is pushed, though one node receives everything a
// moment after the other, and hides it for a while then: see 2*Young.
func TestNodesThatLoseNothingPushNothing(t *testing.T) {
	const pause = 10 * time.Millisecond
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 11))
		a, b := roomy(), roomy()
		late := r.IntN(int(Young / pause)) // so many messages behind a is b
		var way []message
		for c := uint32(1); c < 300; c++ {
			now := time.Second + time.Duration(c)*pause
			m := message{1 + r.Uint64N(4), c}
			a.take(now, m, false)
			if way = append(way, m); len(way) > late {
				b.take(now, way[0], false)
				way = way[1:]
			}
			for _, x := range [][2]*node{{a, b}, {b, a}} {
				page, first, last := x[0].desk.Page(now, anyRoom)
				to := bottomless()
				if x[1].desk.Compare(now, page, first, last, anyRoom, to); to.calls > 0 {
					t.Fatalf("seed %d: of two nodes one receives everything %v after the other, and nothing is lost, but at %v one pushes %v", seed, time.Duration(late)*pause, now, to.got)
				}
			}
		}
	}
}

func TestPagesGoRoundAllOrigins(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 12))
		n := roomy()
		for range r.IntN(30) {
			n.hear(1+r.Uint64()>>r.IntN(60), run(1, 1+uint32(r.IntN(3))))
		}
		if r.IntN(2) == 0 {
			n.hear(lastOrigin, run(1, 1))
		}
		room := wire.MinRecord * (1 + r.IntN(3))
		for turn := range 3 { // each round is like the first
			next, seen := uint64(0), 0
			for done := false; !done; {
				page, first, last := n.desk.Page(old, room)
				page = carry(t, page, first, last, room)
				if first != next || (last < first && last != 0) {
					t.Fatalf("seed %d: in round %d a page should begin at %d but is of %d to %d", seed, turn, next, first, last)
				}
				seen += page.Len()
				next, done = last+1, last == lastOrigin
			}
			if seen != n.origins.Len() {
				t.Fatalf("seed %d: round %d should bring each of %d origins once but brings %d", seed, turn, n.origins.Len(), seen)
			}
		}
	}
}

func TestOriginUnknownIsAskedForInItsLastWindow(t *testing.T) {
	const w = versions.Width
	for _, c := range []struct {
		why  string
		n    *node
		page record
		want []wire.Run
	}{
		{"a short history is wanted whole", roomy(), record{5, 10, []wire.Run{run(12, 13)}}, []wire.Run{run(1, 10), run(12, 13)}},
		{"so is one that leaves room", roomy(), record{5, w - 1, nil}, []wire.Run{run(1, w-1)}},
		{"so is one that just fits", roomy(), record{5, w, nil}, []wire.Run{run(1, w)}},
		{"of a longer one the end is", roomy(), record{5, w + 1, nil}, []wire.Run{run(2, w+1)}},
		{"what lies above its floor has no room yet", roomy(), record{5, 20000, []wire.Run{run(20002, 20003)}}, []wire.Run{run(20001-w, 20000)}},
		{"it may be all the numbers there are", roomy(), record{5, lastCounter, nil}, []wire.Run{run(lastCounter-w+1, lastCounter)}},
		{"an origin that said nothing to everyone is unknown too", roomy().knew(5), record{5, 20000, nil}, []wire.Run{run(20001-w, 20000)}},
		{"one that is known is asked for where it was left", roomy().hear(5, run(1, 3)), record{5, 20000, nil}, []wire.Run{run(4, w+3)}},
		{"and where it was given up", roomy().gaveUp(5, 19000), record{5, 20000, nil}, []wire.Run{run(19001, 20000)}},
		{"what has been seen is not", roomy().hear(5, run(1, 3), run(7, 8)), record{5, 6, []wire.Run{run(8, 9)}}, []wire.Run{run(4, 6), run(9, 9)}},
		{"nothing is wanted of one who has less", roomy().hear(5, run(1, 9)), record{5, 3, []wire.Run{run(5, 6)}}, nil},
	} {
		if _, wanted := answer(t, c.n, old, 0, lastOrigin, c.page); !slices.Equal(messages(wanted), messages([]record{{5, 0, c.want}})) {
			t.Errorf("%s: asked for should be %v but is %v", c.why, c.want, wanted)
		}
	}
}
