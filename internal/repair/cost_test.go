package repair

import (
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/wire"
)

const pageRoom = 485 // what a datagram of 512 bytes has room for

// count is the cheapest Pusher.
type count struct{ n int }

func (c *count) Push(*datalog.Entry) bool { c.n++; return true }

// couple returns two nodes of which each lacks some of what the other retains.
func couple() (a, b *node) {
	a, b = roomy(), roomy()
	for origin := uint64(1); origin <= 20; origin++ {
		for c := uint32(1); c <= 100; c++ {
			if c%7 != 0 {
				a.take(0, message{origin, c}, false)
			}
			if c%11 != 0 && origin%5 != 0 {
				b.take(0, message{origin, c}, false)
			}
		}
	}
	return a, b
}

// works returns each kind of work of a desk, as it is done again and again.
func works() map[string]func() {
	a, b := couple()
	page, _ := a.desk.Page(old, 0, anyRoom)
	var offer News
	to := &count{}
	far := roomy() // knows none of it, and where the end of a long past lies
	long := digestOf(record{5, 5000, nil}, record{6, 9, []wire.Run{run(11, 12)}})
	wanted := b.desk.Want(0, page, anyRoom)
	request := digestOf(read(wanted)...)
	now := old
	return map[string]func(){
		"Page":    func() { now += time.Millisecond; b.desk.Page(now, 0, pageRoom) },
		"Compare": func() { b.desk.Compare(old, page, pageRoom, to) },
		"Compare with one unknown": func() {
			far.desk.Compare(old, long, pageRoom, to)
		},
		"Want":  func() { b.desk.Want(0, page, pageRoom) },
		"Serve": func() { a.desk.Serve(request, to) },
		"Offer": func() {
			for c := range uint32(mostNews + 10) {
				offer.Add(uint64(c%5+1), c*37%1000+1)
			}
			b.desk.Offer(&offer, pageRoom)
		},
	}
}

func TestDeskAllocatesNothingOnceWarm(t *testing.T) {
	for what, work := range works() {
		work()
		if n := testing.AllocsPerRun(100, work); n != 0 {
			t.Errorf("%s of a warm desk allocates %v times", what, n)
		}
	}
}

func BenchmarkDesk(b *testing.B) {
	for what, work := range works() {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				work()
			}
		})
	}
}

// BenchmarkServeHoles asks for what is not there, in the middle of a long chain.
func BenchmarkServeHoles(b *testing.B) {
	const retained = 1000
	n := roomy()
	x := record{origin: 5}
	for c := uint32(1); c <= retained; c++ {
		if c%4 != 0 {
			n.take(0, message{5, c}, false)
		} else {
			x.runs = append(x.runs, run(c, c))
		}
	}
	request, to := digestOf(x), &count{}
	for b.Loop() {
		n.desk.Serve(request, to)
	}
}
