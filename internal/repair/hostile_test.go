package repair

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

func TestAPusherThatRefusesIsLeftAlone(t *testing.T) {
	n := roomy()
	for origin := uint64(1); origin <= 5; origin++ {
		n.hear(origin, run(1, 4), run(6, 8))
	}
	// Origins before, at, between and behind those of the page.
	page := []record{{2, 2, []wire.Run{run(4, 4)}}, {4, 0, nil}, {9, 3, nil}}
	request := []record{{1, 0, []wire.Run{run(1, 3), run(5, 7)}}, {3, 0, []wire.Run{run(1, 9)}}}
	all, _ := answer(t, n, old, page...)
	asked := served(t, n, bottomless(), request...)
	for takes := range len(all) + 1 {
		b := &basket{takes: takes}
		wanted := read(n.desk.Compare(old, digestOf(page...), anyRoom, b))
		if !slices.Equal(b.got, all[:takes]) || b.calls != min(takes+1, len(all)) {
			t.Fatalf("a pusher that takes %d of %d should be shown one more and then none, but was shown %d", takes, len(all), b.calls)
		}
		if want := messages([]record{{2, 0, nil}, {4, 0, nil}, {9, 0, []wire.Run{run(1, 3)}}}); !slices.Equal(messages(wanted), want) {
			t.Fatalf("whoever takes only %d is asked for %v all the same, not for %v", takes, want, wanted)
		}
		b = &basket{takes: takes}
		if got := served(t, n, b, request...); !slices.Equal(got, asked[:min(takes, len(asked))]) || b.calls != min(takes+1, len(asked)) {
			t.Fatalf("asked for %d, a pusher that takes %d should be shown one more and then none, but was shown %d", len(asked), takes, b.calls)
		}
	}
}

// wide is a record of as many of the longest runs as there are numbers left.
func wide(origin uint64, floor uint32) record {
	x := record{origin: origin, floor: floor}
	for end := uint64(floor); len(x.runs) < mostRuns && end+1+0xffff <= lastCounter; end += 1 + 0xffff {
		x.runs = append(x.runs, run(uint32(end+2), uint32(end+1+0xffff)))
	}
	return x
}

// Whatever numbers a digest names, a node pushes what it retains at most once and
// asks for no more than its windows record.
func TestGreatNumbersDoNoHarm(t *testing.T) {
	const most = lastCounter - 255*0x10000
	last := run(lastCounter, lastCounter)
	for _, c := range []struct {
		why    string
		record record
	}{
		{"all numbers, by the floor", record{5, lastCounter, nil}},
		{"all but one, by the floor", record{5, lastCounter - 1, nil}},
		{"the last number, by a run", record{5, lastCounter - 1, []wire.Run{last}}},
		{"the last number behind a gap", record{5, lastCounter - 0x10000, []wire.Run{last}}},
		{"the widest runs", wide(5, 0)},
		{"the widest runs up to the end", wide(5, most)},
		{"one run up to the end", record{5, lastCounter - 0xffff, []wire.Run{run(lastCounter-0xfffe, lastCounter)}}},
		{"nothing", record{5, 0, nil}},
	} {
		for what, n := range map[string]*node{
			"an unknown origin":                 roomy(),
			"a short past":                      roomy().hear(5, run(1, 3)),
			"gaps":                              roomy().hear(5, run(2, 3), run(9, 500)),
			"a floor given up":                  roomy().gaveUp(5, 1<<31),
			"a past near the end":               roomy().hear(5, run(lastCounter-20, lastCounter-10)),
			"a past up to the end":              roomy().hear(5, run(lastCounter-20, lastCounter)),
			"everything given up":               roomy().gaveUp(5, lastCounter),
			"nothing but a floor below the end": roomy().gaveUp(5, lastCounter-1),
		} {
			had := len(n.retained())
			x := []record{c.record}
			var pushed *basket
			check := func(does string, ok bool, wanted []record) {
				if asked := messages(wanted); !ok || len(asked) > versions.Width || len(pushed.got) > had || pushed.calls != len(pushed.got) {
					t.Fatalf("%s %q with %s: %d of %d retained are pushed in %d calls and these asked for: %v", does, c.why, what, len(pushed.got), had, pushed.calls, wanted)
				}
			}
			pushed = bottomless()
			want := lacking(old, n, x)
			wanted := read(carry(t, n.desk.Compare(old, digestOf(x...), anyRoom, pushed), anyRoom))
			check("comparing", slices.Equal(pushed.got, want) && slices.Equal(messages(wanted), wanting(n, x, true)), wanted)

			pushed = bottomless()
			wanted = asked(t, n, anyRoom, x...)
			check("being offered", slices.Equal(messages(wanted), wanting(n, x, false)), wanted)

			pushed = bottomless()
			served(t, n, pushed, x...)
			check("serving", true, nil)
			if n.origins.Len() > 1 || len(n.retained()) != had {
				t.Fatalf("%q with %s: asking and answering should leave no trace, but there are %d origins and %d messages", c.why, what, n.origins.Len(), len(n.retained()))
			}
		}
	}
}

// Any bytes that parse are answered, with no more than is there.
func TestAnyDigestThatParsesIsAnswered(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 40))
		n := roomy().hear(1, run(1, 50)).hear(2, run(lastCounter-80, lastCounter)).hear(3, run(7, 7)).gaveUp(4, lastCounter)
		had := len(n.retained())
		var b []byte
		count := 1 + r.IntN(6)
		for origin := range uint64(count) {
			b = binary.BigEndian.AppendUint64(b, origin+1)
			b = binary.BigEndian.AppendUint32(b, r.Uint32()>>r.IntN(33)|-uint32(r.IntN(2))<<r.IntN(32))
			runs := r.IntN(1 << r.IntN(9))
			b = append(b, byte(runs))
			for range runs % 256 {
				b = binary.BigEndian.AppendUint16(b, uint16(r.Uint32()>>(16+r.IntN(17))))
				b = binary.BigEndian.AppendUint16(b, uint16(r.Uint32()>>(16+r.IntN(17)))|1)
			}
		}
		d, _, ok := wire.ParseDigest(b, count)
		if !ok {
			continue // its runs pass the last number
		}
		room := r.IntN(600)
		to := bottomless()
		carry(t, n.desk.Compare(old, d, room, to), room)
		carry(t, n.desk.Want(0, d, room), room)
		if to.calls > had {
			t.Fatalf("seed %d: %d messages are retained, but %d were pushed", seed, had, to.calls)
		}
		to = bottomless()
		if n.desk.Serve(d, to); to.calls > had {
			t.Fatalf("seed %d: %d messages are retained, but %d were served", seed, had, to.calls)
		}
	}
}

// BenchmarkARequestOfHoles asks, in one datagram, for many runs in the middle of
// a long log of which nothing is retained: its answer costs work but no bytes, so
// it must pass the log once and not for each run.
func BenchmarkARequestOfHoles(b *testing.B) {
	const retained = 100000
	log := datalog.New(1 << 30)
	for c := uint32(1); c <= retained; c++ {
		if c < retained/2 || c > retained/2+2*mostRuns || c%2 == 0 {
			log.Release(log.Put(5, c, nil, 0))
		}
	}
	desk := NewReconciler(log, versions.NewTable(1))
	holes := record{origin: 5, floor: retained / 2}
	for i := range uint32(mostRuns) {
		c := retained/2 + 1 + 2*i
		holes.runs = append(holes.runs, run(c, c))
	}
	request := digestOf(holes)
	for b.Loop() {
		desk.Serve(request, bottomless())
	}
}

// BenchmarkADigestOfHoles is a datagram of 512 bytes that names origins of which every other
// message is missing: each of its records could cost as many runs as a record holds.
func BenchmarkADigestOfHoles(b *testing.B) {
	n := roomy()
	var short, long []record
	for origin := uint64(1); minRecord*int(origin) <= pageRoom; origin++ {
		for c := uint32(2); c <= versions.Width; c += 2 {
			n.take(0, message{origin, c}, true)
		}
		short = append(short, record{origin, 0, []wire.Run{run(1, versions.Width)}})
	}
	long = []record{{origin: 1}}
	for i := range uint32(pageRoom-recordFixed) / runSize {
		long[0].runs = append(long[0].runs, run(64*i+1, 64*i+40))
	}
	n.log = datalog.New(0) // what is pushed costs apart
	n.desk.log = n.log
	for name, records := range map[string][]record{"many records": short, "many runs": long} {
		b.Run(name, func(b *testing.B) {
			digest := digestOf(records...)
			for b.Loop() {
				n.desk.Want(0, digest, pageRoom)
				n.desk.Compare(old, digest, pageRoom, bottomless())
			}
		})
	}
}
