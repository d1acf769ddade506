package node

import (
	"strings"
	"testing"
)

func TestSmallestDatagramGrowsWithTheClusterAndASeal(t *testing.T) {
	for _, c := range []struct {
		cluster string
		sealed  bool
		size    int
	}{
		{"", false, 68}, {"", true, 104},
		{strings.Repeat("x", 20), false, 68}, {strings.Repeat("x", 100), false, 148}, {strings.Repeat("x", 100), true, 184},
	} {
		if got := SmallestDatagram(c.cluster, c.sealed); got != c.size {
			t.Errorf("with a name of %d bytes, sealed %v, the smallest datagram has %d bytes instead of %d", len(c.cluster), c.sealed, got, c.size)
		}
	}
}
