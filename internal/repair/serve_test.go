package repair

import (
	"math/rand/v2"
	"slices"
	"testing"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// asked is what a node asks for when it is offered the records.
func asked(t *testing.T, n *node, room int, offer ...record) []record {
	t.Helper()
	digest := carry(t, digestOf(offer...), anyRoom)
	return read(carry(t, n.desk.Want(0, digest, room), room))
}

// served is what a node pushes when it is asked for the records.
func served(t *testing.T, n *node, to *basket, request ...record) []message {
	t.Helper()
	n.desk.Serve(carry(t, digestOf(request...), anyRoom), to)
	return to.got
}

func TestWantAsksForWhatIsOfferedAndLacking(t *testing.T) {
	n := roomy().hear(5, run(1, 3), run(6, 6)).gaveUp(8, 5000)
	got := asked(t, n, anyRoom,
		record{4, 0, []wire.Run{run(1, 2)}},
		record{5, 1, []wire.Run{run(2, 7), run(9, 9)}},
		record{6, 77, nil}, // an offer of nothing
		record{8, 4000, []wire.Run{run(4990, 5002), run(5000+versions.Width, 5002+versions.Width)}},
		record{9, 30000, []wire.Run{run(30001, 30001)}})
	want := []record{
		{4, 0, []wire.Run{run(1, 2)}},
		{5, 3, []wire.Run{run(4, 5), run(7, 7), run(9, 9)}},
		{8, 5000, []wire.Run{run(5001, 5002), run(5000+versions.Width, 5000+versions.Width)}},
		{9, 30000, []wire.Run{run(30001, 30001)}}, // the end of what is unknown
	}
	if !slices.EqualFunc(got, want, record.equal) {
		t.Fatalf("the lacking of what is offered, as far as there is room to record it, is %v, but %v is asked for", want, got)
	}
}

func TestWantAsksForNoMoreThanTheRequestHolds(t *testing.T) {
	const offered = 10
	for room := range 10 * minRecord {
		var offer []record
		for i := range uint64(offered) {
			offer = append(offer, record{i + 1, 0, []wire.Run{run(1, 1), run(3, 3)}})
		}
		got := asked(t, roomy(), room, offer...)
		if all := messages(offer); !slices.Equal(messages(got), all[:len(messages(got))]) {
			t.Fatalf("with room for %d bytes the first of what is offered should be asked for, not %v", room, got)
		}
		if whole := room / (recordFixed + 2*runSize); len(got) < min(whole, offered) {
			t.Fatalf("%d bytes have room for %d records, but hold only %v", room, whole, got)
		}
	}
}

// A record holds 255 runs: a node with more gaps asks for the rest another time.
func TestWantAsksForAsManyRunsAsARecordHolds(t *testing.T) {
	n := roomy()
	for c := uint32(1); c <= versions.Width; c += 2 {
		n.take(0, message{5, c + 1}, false)
	}
	got := asked(t, n, anyRoom, record{5, 0, []wire.Run{run(1, versions.Width)}}, record{6, 0, []wire.Run{run(1, 1)}})
	if all := messages(got); len(got) != 2 || len(got[0].runs) != mostRuns || all[mostRuns-1] != (message{5, 2*mostRuns - 1}) {
		t.Fatalf("of %d gaps the first %d are asked for, and then of the next origin, but asked for is %v", versions.Width/2, mostRuns, got)
	}
}

// Where the windows of other origins use up what there is for wide ones, a node asks for what
// a narrow window holds.
func TestWantAsksForNoMoreThanItHasRoomToRecord(t *testing.T) {
	n := roomy()
	n.origins = versions.NewTable(10) // with room for four windows of the full width
	n.desk = NewReconciler(n.log, n.origins)
	const floor = 2 * versions.Width
	for _, c := range []struct {
		others int
		width  uint32
	}{{0, versions.Width}, {3, versions.Width}, {4, versions.NarrowWidth}} {
		for origin := range uint64(c.others) {
			n.hear(origin+1, run(versions.Width, versions.Width))
		}
		n.hear(8, run(1, 1))
		wanted := read(n.desk.Compare(old, digestOf(record{8, floor, nil}, record{9, floor, nil}), anyRoom, bottomless()))
		want := []record{{8, 1, []wire.Run{run(2, c.width+1)}}, {9, floor - c.width, []wire.Run{run(floor-c.width+1, floor)}}}
		if !slices.EqualFunc(wanted, want, record.equal) {
			t.Errorf("beside %d wide windows of others %v should be wanted, but %v is", c.others, want, wanted)
		}
	}
}

func TestWantAgainstASimpleMind(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 20))
		n := roomy()
		var offer []record
		for origin := range uint64(1 + r.IntN(8)) {
			origin++
			base := uint32(r.IntN(3000))
			if r.IntN(4) > 0 {
				n.gaveUp(origin, base)
				for range r.IntN(40) {
					n.take(0, message{origin, base + 1 + uint32(r.IntN(200))}, false)
				}
			}
			x := record{origin: origin, floor: base + uint32(r.IntN(100))}
			for c := x.floor; len(x.runs) < r.IntN(30); {
				first := c + 1 + uint32(r.IntN(60))
				c = first + uint32(r.IntN(60))
				x.runs = append(x.runs, run(first, c))
			}
			offer = append(offer, x)
		}
		l := &link{t: t, seed: seed, room: r.IntN(400)}
		digest := carry(t, digestOf(offer...), anyRoom)
		l.checkWanted(carry(t, n.desk.Want(0, digest, l.room), l.room), wanting(n, offer, false))
	}
}

func TestServePushesWhatIsAskedForAndRetained(t *testing.T) {
	n := roomy().hear(5, run(1, 3), run(8, 9), run(20, 20)).knew(5, run(4, 6)).hear(7, run(1, 1))
	for _, c := range []struct {
		why     string
		request record
		want    []uint32
	}{
		{"a run that is there", record{5, 0, []wire.Run{run(1, 3)}}, []uint32{1, 2, 3}},
		{"a part of one", record{5, 1, []wire.Run{run(2, 2)}}, []uint32{2}},
		{"a run with holes", record{5, 1, []wire.Run{run(2, 8)}}, []uint32{2, 3, 8}},
		{"what was seen and is gone", record{5, 3, []wire.Run{run(4, 6)}}, nil},
		{"what was never heard of", record{5, 9, []wire.Run{run(10, 12), run(14, 19)}}, nil},
		{"some of everything", record{5, 0, []wire.Run{run(1, 1), run(3, 4), run(6, 7), run(9, 11), run(19, 30)}}, []uint32{1, 3, 9, 20}},
		{"what is behind the end", record{5, 20, []wire.Run{run(21, 22), run(30, 90)}}, nil},
		{"nothing: the floor of a request says nothing", record{5, 3, nil}, nil},
		{"an origin that is not known", record{6, 0, []wire.Run{run(1, 100)}}, nil},
	} {
		var want []message
		for _, x := range c.want {
			want = append(want, message{c.request.origin, x})
		}
		if got := served(t, n, bottomless(), c.request); !slices.Equal(got, want) {
			t.Errorf("asked for %s, a node should push %v but pushes %v", c.why, want, got)
		}
	}
	request := []record{{5, 7, []wire.Run{run(8, 8)}}, {6, 0, []wire.Run{run(1, 1)}}, {7, 0, []wire.Run{run(1, 1)}}}
	if got, want := served(t, n, bottomless(), request...), []message{{5, 8}, {7, 1}}; !slices.Equal(got, want) {
		t.Errorf("asked for messages of several origins, a node should push those it retains, %v, not %v", want, got)
	}
}

func TestServeAgainstASimpleMind(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 21))
		n := newNode(r.IntN(60000))
		for range 300 {
			n.take(0, message{1 + r.Uint64N(3), 1 + uint32(r.IntN(300))}, false)
		}
		var request []record
		for origin := uint64(1); origin <= 4; origin++ {
			x := record{origin: origin, floor: uint32(r.IntN(100))}
			for c := x.floor; len(x.runs) < 60 && r.IntN(40) > 0; {
				first := c + 1 + uint32(r.IntN(9))
				c = first + uint32(r.IntN(4))
				x.runs = append(x.runs, run(first, c))
			}
			request = append(request, x)
		}
		l := &link{t: t, seed: seed, budget: r.IntN(200) - 1}
		b := &basket{takes: l.budget}
		served(t, n, b, request...)
		l.checkPushed("when asked", b, serving(n, request))
	}
}

// What nobody retains is asked for and not answered, and that changes nothing:
// it is not taken for seen.
func TestWhatIsGoneIsAskedForInVain(t *testing.T) {
	a, b := roomy(), roomy().knew(5, run(1, 10))
	l := &link{t: t, room: 485, budget: -1}
	for range 3 {
		l.round(old, b, a)
		l.round(old, a, b)
	}
	if l.moved != 0 || a.has(message{5, 1}) {
		t.Fatalf("nobody retains messages 1 to 10, but %d moved, and is the first seen? %v", l.moved, a.has(message{5, 1}))
	}
}
