package main

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

// next returns the next frame of a listener.
func next(t *testing.T, l *listener) (f frame) {
	t.Helper()
	select {
	case b, more := <-l.frames:
		if !more {
			t.Fatal("there are no more frames")
		}
		must(t, json.Unmarshal(b, &f))
	case <-time.After(patience):
		t.Fatalf("there is no frame in %v", patience)
	}
	return f
}

func TestAListenerIsToldEverythingAndThenTheNews(t *testing.T) {
	c := start(t, quick(10))
	l, err := c.listen()
	must(t, err)
	if f := next(t, l); !f.Reset || len(f.Nodes) != 10 || f.Settings == nil || f.Traffic == nil {
		t.Errorf("the first frame is %+v", f)
	}
	number, err := c.send(4, "broadcast", anyNode)
	must(t, err)
	got := map[int]bool{}
	for len(got) < 10 {
		f := next(t, l)
		if f.Reset {
			t.Error("a listener who keeps up is told everything anew")
		}
		for _, g := range f.Got {
			if g.Message != number || got[g.Node] {
				t.Errorf("%+v was delivered, after %v", g, got)
			}
			got[g.Node] = true
		}
	}
	c.forget(l)
	if l, err = c.listen(); err != nil {
		t.Fatal(err)
	}
	if f := next(t, l); len(f.Messages) != 1 || len(f.Got) != 10 || len(f.Copies) < 9 {
		t.Errorf("who comes later is told of %d messages, %d deliveries, %d copies", len(f.Messages), len(f.Got), len(f.Copies))
	}
}

func TestASlowListenerHoldsUpNobody(t *testing.T) {
	c := start(t, quick(10))
	slow, err := c.listen()
	must(t, err)
	eager, err := c.listen()
	must(t, err)
	for range 3 * mostFrames {
		next(t, eager)
	}
	number, err := c.send(anyNode, "broadcast", anyNode)
	must(t, err)
	awaitReached(t, c, number, 10, 10)
	if len(slow.frames) != mostFrames {
		t.Fatalf("%d frames wait for a listener who does not listen, instead of %d", len(slow.frames), mostFrames)
	}
	for range mostFrames {
		next(t, slow)
	}
	if f := next(t, slow); !f.Reset || len(f.Messages) != 1 {
		t.Errorf("after it lost frames a listener is not told everything anew, but %+v", f)
	}
}

func TestListenersAreNotManyAndEndWithTheCluster(t *testing.T) {
	var last *listener
	t.Run("cluster", func(t *testing.T) {
		c := start(t, quick(2))
		for range mostListeners {
			l, err := c.listen()
			must(t, err)
			last = l
		}
		if _, err := c.listen(); !errors.Is(err, errCrowded) {
			t.Errorf("one more listener is not refused: %v", err)
		}
		c.forget(last)
		l, err := c.listen()
		must(t, err)
		last = l
	})
	for range last.frames { // until it is closed
	}
}
