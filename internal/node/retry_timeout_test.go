package node

import (
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// publishToOne publishes a message to the one member there is, and returns it as it was sent.
func (s *solo) publishToOne(spread ...Spread) wiretest.Message {
	s.t.Helper()
	s.publish([]byte("x"), spread...)
	m := s.sent(wire.TypeData, peerAddr(10))
	s.want(len(m) == 1, "a message goes to the one member %d times", len(m))
	return m[0]
}

func TestTimeoutFollowsTheRoundTrip(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10)
	for range 50 { // a peer 100 ms away
		m := s.publishToOne(direct(peerAddr(10)))
		s.at += 100 * time.Millisecond
		s.receive(m.To, s.ack(m.Seq))
	}
	rtt := s.Member(0).RTT
	s.want(rtt > 90*time.Millisecond && rtt < 110*time.Millisecond, "the round trip of 100 ms is taken for %v", rtt)
	wait := s.timeout(s.at, peerAddr(10))
	s.want(wait >= 100*time.Millisecond && wait < 200*time.Millisecond, "its timeout is %v", wait)
	s.want(s.timeout(s.at, peerAddr(99)) == s.config.RetryInterval, "without a round trip the timeout should be RetryInterval, and is %v", s.timeout(s.at, peerAddr(99)))
}

func TestTimeoutForgetsAPauseSoon(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10)
	for i := range 41 {
		m := s.publishToOne()
		if s.at += 30 * time.Millisecond; i == 20 {
			s.at += 10 * time.Minute
		}
		s.receive(m.To, s.ack(m.Seq))
	}
	wait := s.timeout(s.at, peerAddr(10))
	s.want(wait < 500*time.Millisecond, "20 messages after a pause of ten minutes the timeout is %v for a round trip of 30 ms", wait)
}

func TestShortTimeoutDoesNotWaitForALongerOneBeforeIt(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10)
	for range 30 { // the member is far away
		m := s.publishToOne()
		s.at += time.Second
		s.receive(m.To, s.ack(m.Seq))
	}
	s.publishToOne() // has no answer
	long := s.timeout(s.at, peerAddr(10))
	for range 100 { // the member is near
		m := s.publishToOne()
		s.receive(m.To, s.ack(m.Seq))
	}
	short, m, start := s.timeout(s.at, peerAddr(10)), s.publishToOne(), s.at
	s.want(long > 500*time.Millisecond && short < 100*time.Millisecond, "the timeout is %v and then %v", long, short)
	delete(s.responsive, peerAddr(10))
	for _, again := range wiretest.Only(s.run(200*time.Millisecond), wire.TypeData, peerAddr(10)) {
		if again.Data.Counter == m.Data.Counter {
			s.want(again.At-start <= short, "a message with a timeout of %v is sent again after %v", short, again.At-start)
			return
		}
	}
	s.want(false, "a message with a timeout of %v waits for the one before it, with %v", short, long)
}

// While a host is away the system keeps what is for it until the first hop knows where it is,
// and then sends all of it. That wait is not part of the round trip.
func TestProbeThatWasHeldUpDoesNotMeasureTheRoundTrip(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	silent, id := peerAddr(10), s.peerID(10)
	lose := func() time.Duration {
		delete(s.responsive, silent)
		start, lost := s.at, s.Stats().MembersLost
		s.publish([]byte("x"))
		for s.Stats().MembersLost == lost {
			s.run(10 * time.Millisecond)
			s.want(s.at-start < time.Minute, "a member that is silent for a minute is not lost: %+v", s.Stats())
		}
		return s.at - start
	}
	first := lose()
	held := wiretest.Only(s.run(3*time.Second), wire.TypeHello, silent)
	s.want(len(held) > 1, "%d probes went to the lost member", len(held))
	s.responsive[silent] = id
	for _, m := range held {
		s.receive(silent, s.welcome(m.Seq, 7, id, silent))
	}
	wait := s.timeout(s.at, silent)
	s.want(wait <= s.config.RetryInterval, "its timeout is %v", wait)
	s.run(time.Second)
	again := lose()
	s.want(again < 2*first, "it was lost after %v of silence at first, then after %v", first, again)
}
