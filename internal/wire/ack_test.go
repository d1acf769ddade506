package wire

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// numbers returns how many sequence numbers p holds.
func (p plainAck) numbers() (n int) {
	for _, run := range p.Runs {
		n += 1 + int(run.More)
	}
	return n
}

func TestAckYieldsTheNumbersOfItsRuns(t *testing.T) {
	for _, c := range []struct {
		story string
		runs  []AckRun
		want  []uint32
	}{
		{"no run", nil, nil},
		{"one number", []AckRun{{7, 0}}, []uint32{7}},
		{"runs in the order in which they are sent", []AckRun{{9, 1}, {3, 2}}, []uint32{9, 10, 3, 4, 5}},
		{"a number that comes twice", []AckRun{{3, 1}, {4, 0}}, []uint32{3, 4, 4}},
		{"a run beyond the last number goes on at 0", []AckRun{{1<<32 - 2, 3}}, []uint32{1<<32 - 2, 1<<32 - 1, 0, 1}},
	} {
		for _, refused := range []bool{false, true} {
			m, _, ok := ParseAck(AppendAck(nil, c.runs, refused))
			if got := slices.Collect(m.Numbers()); !ok || m.Refused != refused || !slices.Equal(got, c.want) {
				t.Errorf("%s: the runs %v, refused %v, should be read as %d, but are as %d, refused %v (%v)", c.story, c.runs, refused, c.want, got, m.Refused, ok)
			}
		}
	}
}

func TestAckHoldsMostAckedNumbersHoweverTheyAreCut(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 60))
		var p plainAck
		for p.numbers() < MostAcked {
			more := min(r.IntN(256), MostAcked-p.numbers()-1)
			p.Runs = append(p.Runs, AckRun{r.Uint32(), uint8(more)})
		}
		m, _, ok := ParseAck(p.appendTo(nil))
		if n := len(slices.Collect(m.Numbers())); !ok || n != MostAcked {
			t.Fatalf("seed %d: %d runs of %d numbers should be accepted (%v) and yielded, but %d are", seed, len(p.Runs), MostAcked, ok, n)
		}
		p.Runs = append(p.Runs, AckRun{r.Uint32(), 0})
		if _, _, ok := ParseAck(p.appendTo(nil)); ok {
			t.Fatalf("seed %d: %d runs of %d numbers are more work than one Ack may be, but were accepted", seed, len(p.Runs), p.numbers())
		}
	}
}

func TestAckYieldsNoMoreThanIsAskedFor(t *testing.T) {
	m, _, _ := ParseAck(AppendAck(nil, []AckRun{{1, 9}, {100, 9}}, false))
	for _, most := range []int{1, 5, 10, 11, 20} {
		got := 0
		for range m.Numbers() {
			if got++; got == most {
				break
			}
		}
		if got != most {
			t.Errorf("%d of 20 numbers were asked for, but %d came", most, got)
		}
	}
}
