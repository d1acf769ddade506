package wire

import (
	"testing"
	"time"
)

func TestAnAgeIsWrittenWithinASixteenth(t *testing.T) {
	for _, s := range []int64{0, 1, 7, 8, 9, 15, 16, 17, 59, 100, 1000, 3599, 86400, 1e6, 1e8, 1e9} {
		m := Data{Flags: FlagPull, Hops: AgeCode(time.Duration(s) * time.Second)}
		got := int64(m.Age() / time.Second)
		if off := got - s; off > (s+8)/16 || -off > (s+8)/16 {
			t.Errorf("an age of %d s is written as one of %d s", s, got)
		}
	}
	for code := range 256 {
		m := Data{Flags: FlagPull, Hops: uint8(code)}
		if back := AgeCode(m.Age()); back != uint8(code) && m.Age() < 1<<33*time.Second {
			t.Errorf("the code %d means %v, which is written as %d", code, m.Age(), back)
		}
	}
	if m := (Data{Hops: 77}); m.Age() != 0 {
		t.Errorf("what is not sent by repair has an age of %v", m.Age())
	}
	if AgeCode(-time.Hour) != 0 || AgeCode(time.Millisecond) != 0 || AgeCode(1<<63-1) == 0 {
		t.Errorf("ages at the ends are written as %d, %d and %d", AgeCode(-time.Hour), AgeCode(time.Millisecond), AgeCode(1<<63-1))
	}
}
