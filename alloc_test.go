package gossip

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// treadmill is a node with 64 members around the ring whose peers do everything
// in memory that is there already, so that what is allocated, the node allocates.
type treadmill struct {
	*soloist
	said      int       // by the receiver
	out       []fakeAck // what is to be acknowledged
	data, ack []byte    // datagrams of peers
	statuses  int
}

type fakeAck struct {
	to  netip.AddrPort
	seq uint32
}

const (
	treadmillOrigin = 1 << 63
	payloadSize     = 100
)

func newTreadmill(t testing.TB, config Config) *treadmill {
	t.Helper()
	m := &treadmill{soloist: newSoloist(t, config)}
	steps := make([]int, 64)
	for i := range steps {
		steps[i] = 2 + 4*i
	}
	m.seedWith(steps...)
	m.receiver = func(NodeID, []byte) { m.said++ }
	m.fake.sink = m.keep
	arc := view.Arc{Lo: view.Pos(m.peerID(2)) + 1, Hi: view.Pos(uint64(m.id))} // of the other 63
	m.data = m.soloist.data(wire.Data{
		Origin: treadmillOrigin, Counter: 1, Flags: wire.FlagArc, Hops: 1, Lo: arc.Lo, Hi: arc.Hi, Payload: make([]byte, payloadSize),
	})
	m.ack = m.soloist.ack(0)
	return m
}

// keep notes the one message of a kind that wants an Ack in a datagram.
func (m *treadmill) keep(b []byte, to netip.AddrPort) {
	for len(b) > 0 {
		h, _ := wire.ParseHeader(b)
		b = b[wire.HeaderSize:]
		n := len(b)
		switch h.Type {
		case wire.TypeAck:
			_, n, _ = wire.ParseAck(b)
			b = b[n:]
			continue
		case wire.TypeData:
			_, n, _ = wire.ParseData(b)
		case wire.TypeStatus:
			m.statuses++
			_, n, _ = wire.ParseStatus(b)
		case wire.TypeMemberList:
			_, n, _ = wire.ParseMemberList(b)
		}
		m.out = append(m.out, fakeAck{to, h.Seq})
		b = b[n:]
	}
}

// setData makes the datagram one of message counter, as a peer would send it next.
func (m *treadmill) setData(counter uint32) {
	m.seq++
	binary.BigEndian.PutUint32(m.data[4:], m.seq)
	binary.BigEndian.PutUint32(m.data[wire.HeaderSize+8:], counter)
}

func (m *treadmill) turn() {
	m.Send()
	for _, a := range m.out {
		binary.BigEndian.PutUint32(m.ack[wire.AckOverhead:], a.seq)
		m.fake.feed(a.to, m.ack)
		m.Receive(0)
	}
	m.out = m.out[:0]
}

// free fails if a step allocates, after a warm-up.
func (m *treadmill) free(what string, step func()) {
	m.t.Helper()
	for range 1500 {
		step()
	}
	if n := testing.AllocsPerRun(500, step); n != 0 {
		m.t.Errorf("%s allocates %v times", what, n)
	}
}

func TestPassingOnANewBroadcastAllocatesNothing(t *testing.T) {
	m := newTreadmill(t, Config{})
	counter := uint32(0)
	m.free("a new message, passed on to 8 delegates and acknowledged by them", func() {
		counter++
		m.at += 100 * time.Microsecond
		m.setData(counter)
		m.fake.feed(peerAddr(2), m.data)
		m.Receive(0)
		m.turn()
	})
	st := m.Stats()
	m.want(m.said == int(counter) && st.Relayed == 8*uint64(counter), "%d messages were delivered as %d and passed on %d times", counter, m.said, st.Relayed)
	m.want(st.QueuedData == 0, "%d copies are not acknowledged", st.QueuedData)
}

func TestADuplicateAllocatesNothing(t *testing.T) {
	m := newTreadmill(t, Config{})
	m.setData(1)
	m.fake.feed(peerAddr(2), m.data)
	m.Receive(0)
	m.turn()
	m.free("a duplicate", func() {
		m.at += 100 * time.Microsecond
		m.setData(1)
		m.fake.feed(peerAddr(2), m.data)
		m.Receive(0)
		m.turn()
	})
	m.want(m.said == 1, "one message was delivered %d times", m.said)
}

func TestSayingSomethingAllocatesNothing(t *testing.T) {
	payload := make([]byte, payloadSize)
	for _, c := range []struct {
		name   string
		spread Spread
	}{{"Broadcast", Broadcast}, {"Random", Random}, {"Direct", Direct(Address{peerAddr(6)})}} {
		m := newTreadmill(t, Config{})
		m.free("SendData, Send and the Acks of "+c.name, func() {
			m.at += 100 * time.Microsecond
			if err := m.SendData(payload, c.spread); err != nil {
				t.Fatal(c.name, err)
			}
			m.turn()
		})
	}
}

func TestAnAckOfManyAllocatesNothing(t *testing.T) {
	m := newTreadmill(t, Config{})
	payload := make([]byte, 8)
	seqs := make([]uint32, 32)
	many := m.soloist.ack(seqs...)
	m.free("32 messages and the Ack of them all", func() {
		m.at += time.Millisecond
		for range seqs {
			m.SendData(payload, Direct(Address{peerAddr(6)}))
		}
		m.Send()
		for i, a := range m.out {
			binary.BigEndian.PutUint32(many[wire.AckOverhead+wire.AckSize*i:], a.seq)
		}
		m.out = m.out[:0]
		m.fake.feed(peerAddr(6), many)
		m.Receive(0)
	})
	m.want(m.Stats().DropAck == 0 && m.Stats().QueuedData == 0, "the Acks were not taken: %+v", m.Stats())
}

func TestAComparisonAllocatesNothing(t *testing.T) {
	m := newTreadmill(t, Config{})
	for i := range 1000 { // of many origins, some with gaps
		m.hear(peerAddr(2), m.soloist.data(wire.Data{
			Origin: uint64(100 + i%50), Counter: uint32(1 + i/50 + i/200), Flags: wire.FlagPull, Payload: make([]byte, payloadSize),
		}))
	}
	m.at += time.Second
	page := everything(map[uint64]uint32{100: 10, 101: 100, 149: 3, 5000: 7})
	full := m.soloist.status(page)
	page.Mode = wire.Offer
	offer := m.soloist.status(page)
	page.Mode = wire.Request
	request := m.soloist.status(page)
	for _, c := range []struct {
		name string
		b    []byte
	}{{"a full Status", full}, {"an offer", offer}, {"a request", request}} {
		m.free("the answer to "+c.name, func() {
			m.at += time.Millisecond
			m.fake.feed(peerAddr(6), c.b)
			m.Receive(0)
			for n := 1; n > 0; {
				n, _ = m.Send()
			}
			m.out = m.out[:0]
		})
	}
}

func TestUpkeepAllocatesNothing(t *testing.T) {
	m := newTreadmill(t, Config{})
	payload := make([]byte, payloadSize)
	step := func() {
		m.at += 20 * time.Millisecond
		m.Tick()
		m.turn()
	}
	m.free("an idle turn of the loop", step)
	m.want(m.statuses > 20, "the idle node compared only %d times", m.statuses)
	m.free("a turn of the loop with something to say", func() {
		m.SendData(payload)
		step()
	})
	m.want(m.roster.Len() == 64, "of 64 members %d are left", m.roster.Len())
}

func TestARefusedSendDataAllocatesNothing(t *testing.T) {
	m := newTreadmill(t, Config{})
	payload := make([]byte, payloadSize)
	for m.SendData(payload) == nil {
	}
	m.free("SendData with the queue full", func() {
		if err := m.SendData(payload); !errors.Is(err, ErrQueueFull) {
			t.Fatalf("with the queue full SendData returned %v", err)
		}
	})
}

// All of the way, through real sockets: said by one node, received by another, and
// acknowledged.
func TestOnRealSocketsNothingIsAllocated(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("this system reads through functions that allocate")
	}
	for name, keys := range map[string][][]byte{"in clear": nil, "sealed": {testKey('k')}} {
		t.Run(name, func(t *testing.T) {
			received := 0
			var nodes [2]*GossipService
			for i := range nodes {
				n, err := New(mustParseAddress(t, "127.0.0.1:0"), func(NodeID, []byte) { received++ }, Config{Keys: keys, DataLogSize: 8 << 10})
				if err != nil {
					t.Fatal(err)
				}
				defer n.Close()
				nodes[i] = n
			}
			turn := func() {
				for _, n := range nodes {
					n.Tick()
					n.Send()
					n.Receive(0)
				}
			}
			nodes[0].Join()
			nodes[1].Join(nodes[0].Address())
			deadline := time.Now().Add(10 * time.Second)
			for nodes[0].Stats().Members+nodes[1].Stats().Members < 2 && time.Now().Before(deadline) {
				turn()
			}
			payload, said := make([]byte, payloadSize), 0
			step := func() {
				for range 50 {
					if err := nodes[0].SendData(payload); err != nil {
						t.Fatal(err)
					}
				}
				said += 50
				for (received < said || nodes[0].Stats().QueuedData > 0) && time.Now().Before(deadline) {
					turn()
				}
			}
			for range 30 {
				step()
			}
			if n := testing.AllocsPerRun(50, step); n != 0 {
				t.Errorf("50 messages allocate %v times", n)
			}
			if received != said {
				t.Errorf("of %d messages %d were received", said, received)
			}
		})
	}
}
