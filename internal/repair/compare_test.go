package repair

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// youngFor is how long a message counts as young at most.
const youngFor = young * Epoch

// answer is what a node pushes and asks for when it is sent a page.
func answer(t *testing.T, n *node, now time.Duration, page ...record) (pushed []message, wanted []record) {
	t.Helper()
	to := bottomless()
	digest := carry(t, digestOf(page...), anyRoom)
	wanted = read(carry(t, n.desk.Compare(now, digest, anyRoom, to), anyRoom))
	return to.got, wanted
}

func TestWhatThePageCoversIsNotPushed(t *testing.T) {
	n := roomy().hear(5, run(1, 10))
	pushed, wanted := answer(t, n, old, record{5, 3, []wire.Run{run(6, 7), run(9, 9)}})
	if want := messages([]record{{5, 3, []wire.Run{run(4, 5), run(8, 8), run(10, 10)}}}); !slices.Equal(pushed, want) {
		t.Fatalf("of messages 1 to 10 somebody has all to 3, 6, 7 and 9 and should be pushed the others in order, %v, not %v", want, pushed)
	}
	if len(wanted) != 0 {
		t.Fatalf("somebody has nothing that is missing here, but these are asked for: %v", wanted)
	}
}

// So a page costs no more than it names, however many origins and messages there are.
func TestOriginsThatAPageDoesNotNameAreNotPushed(t *testing.T) {
	n := roomy()
	for origin := range uint64(30) {
		n.hear(origin+1, run(1, 2))
	}
	if pushed, wanted := answer(t, n, old, record{20, 0, nil}, record{10, 1, nil}, record{31, 0, nil}); !slices.Equal(pushed, []message{{20, 1}, {20, 2}, {10, 2}}) || len(wanted) > 0 {
		t.Errorf("a page of two origins is answered with %v", pushed)
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
		{130*time.Millisecond + 2*youngFor - 1, nil},
		{130*time.Millisecond + 2*youngFor, []message{{6, 1}}}, // 2 of origin 5 waits with 1
		{150*time.Millisecond + 2*youngFor, []message{{5, 1}, {5, 2}, {6, 1}}},
	} {
		if pushed, _ := answer(t, n, c.now, record{5, 0, nil}, record{6, 0, nil}); !slices.Equal(pushed, c.want) {
			t.Errorf("at %v messages that came %v ago or earlier are pushed, %v, and not %v", c.now, 2*youngFor, c.want, pushed)
		}
	}
}

// What was received is hidden for Epoch at least, and for youngFor at most, for then
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

			page, last := n.desk.Page(now, 0, anyRoom)
			if last != 0 {
				t.Fatalf("seed %d: a page with room for everything ends with %d", seed, last)
			}
			said := map[uint64]record{}
			for _, x := range read(page) {
				said[x.origin] = x
			}
			for m, at := range born {
				switch advertised := said[m.origin].has(m.counter); {
				case advertised && now-at < Epoch:
					t.Fatalf("seed %d: message %v came %v ago and is on its way still, but is advertised", seed, m, now-at)
				case !advertised && now-at >= youngFor:
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
// moment after the other, and hides it for a while then: see young.
func TestNodesThatLoseNothingPushNothing(t *testing.T) {
	const pause = 10 * time.Millisecond
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 11))
		a, b := roomy(), roomy()
		late := r.IntN(int(youngFor / pause)) // so many messages behind a is b
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
				page, _ := x[0].desk.Page(now, 0, anyRoom)
				to := bottomless()
				if x[1].desk.Compare(now, page, anyRoom, to); to.calls > 0 {
					t.Fatalf("seed %d: of two nodes one receives everything %v after the other, and nothing is lost, but at %v one pushes %v", seed, time.Duration(late)*pause, now, to.got)
				}
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
		{"what lies above its floor is too", roomy(), record{5, 20000, []wire.Run{run(20002, 20003)}}, []wire.Run{run(20004-w, 20000), run(20002, 20003)}},
		{"it may be all the numbers there are", roomy(), record{5, lastCounter, nil}, []wire.Run{run(lastCounter-w+1, lastCounter)}},
		{"an origin that said nothing to everyone is unknown too", roomy().knew(5), record{5, 20000, nil}, []wire.Run{run(20001-w, 20000)}},
		{"one that is known is asked for where it was left", roomy().hear(5, run(1, 3)), record{5, 20000, nil}, []wire.Run{run(4, w+3)}},
		{"and where it was given up", roomy().gaveUp(5, 19000), record{5, 20000, nil}, []wire.Run{run(19001, 20000)}},
		{"what has been seen is not", roomy().hear(5, run(1, 3), run(7, 8)), record{5, 6, []wire.Run{run(8, 9)}}, []wire.Run{run(4, 6), run(9, 9)}},
		{"nothing is wanted of one who has less", roomy().hear(5, run(1, 9)), record{5, 3, []wire.Run{run(5, 6)}}, nil},
	} {
		if _, wanted := answer(t, c.n, old, c.page); !slices.Equal(messages(wanted), messages([]record{{5, 0, c.want}})) {
			t.Errorf("%s: asked for should be %v but is %v", c.why, c.want, wanted)
		}
	}
}
