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
		{"", false, 66}, {"", true, 102},
		{strings.Repeat("x", 20), false, 66}, {strings.Repeat("x", 100), false, 146}, {strings.Repeat("x", 100), true, 182},
	} {
		if got := SmallestDatagram(c.cluster, c.sealed); got != c.size {
			t.Errorf("with a name of %d bytes, sealed %v, the smallest datagram has %d bytes instead of %d", len(c.cluster), c.sealed, got, c.size)
		}
	}
}
