package node

import (
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// Where one message fills the queue, comparisons and exchanges must not displace each other
// every time.
func TestMaintenanceAlternatesInAQueueOfOne(t *testing.T) {
	s := newSolo(t, Config{MaxOutputMessages: 1})
	s.withMembers(10, 20)
	all := s.run(time.Minute)
	compared, exchanged := len(statuses(all, wire.Summary)), len(wiretest.Only(all, wire.TypeMemberList, anyAddr))
	s.want(compared >= 7 && exchanged >= 7, "in a minute there were %d comparisons and %d exchanges", compared, exchanged)
}
