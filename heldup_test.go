package gossip

import (
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// While a host is away the system keeps what is for it until the first hop knows
// where it is, and then sends all of it: that wait is none of the way's.
func TestAProbeThatWasHeldUpSaysNothingOfTheRoundTrip(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	silent, id := peerAddr(10), s.peerID(10)
	lose := func() time.Duration {
		delete(s.polite, silent)
		start, lost := s.at, s.Stats().MembersLost
		s.want(s.SendData([]byte("x")) == nil, "SendData failed")
		for s.Stats().MembersLost == lost {
			s.run(10 * time.Millisecond)
			s.want(s.at-start < time.Minute, "a member that is silent for a minute is not lost: %+v", s.Stats())
		}
		return s.at - start
	}
	first := lose()
	held := only(s.run(3*time.Second), wire.TypeHello, silent)
	s.want(len(held) > 1, "it was asked %d times", len(held))
	s.polite[silent] = id
	for _, m := range held {
		s.hear(silent, s.welcome(m.seq, 7, id, silent))
	}
	wait := s.timeout(silent)
	s.want(wait <= s.config.RetryInterval, "an answer is waited for %v", wait)
	s.run(time.Second)
	again := lose()
	s.want(again < 2*first, "at first it was lost after %v of silence, then after %v", first, again)
}
