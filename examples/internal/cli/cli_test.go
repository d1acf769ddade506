package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/gossip"
)

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{flag.ErrHelp, 0, ""},
		{Usage("-x is missing"), 2, "prog: -x is missing\n"},
		{fmt.Errorf("seed: %w", gossip.ErrAddress), 2, "prog: seed: gossip: bad address\n"},
		{gossip.ErrConfig, 2, "prog: gossip: bad configuration\n"},
		{os.ErrNotExist, 1, "prog: file does not exist\n"},
	} {
		var stderr strings.Builder
		if code := Exit("prog", c.err, &stderr); code != c.code || stderr.String() != c.says {
			t.Errorf("%v ends a program with %d instead of %d, saying %q", c.err, code, c.code, &stderr)
		}
	}
}

func TestKeysAreReadFromAFile(t *testing.T) {
	a, b := strings.Repeat("0a", 32), strings.Repeat("B0", 32)
	for _, c := range []struct{ text, keys, problem string }{
		{a + "\n", "[" + a + "]", ""},
		{"# first\n\n " + a + " \r\n" + b, "[" + a + " " + strings.ToLower(b) + "]", ""},
		{"clear\n" + a, "[ " + a + "]", ""},
		{"", "", "no key"},
		{"# nothing\n", "", "no key"},
		{a + "\n" + a[:63], "", "line 2"},
		{a + a, "", "line 1"},
		{"z" + a[1:], "", "line 1"},
		{strings.Repeat(a+"\n", 9), "", "more than 8"},
		{strings.Repeat("# 9\n", mostFile/4-17) + a + "\n# 9", "[" + a + "]", ""},
		{strings.Repeat("\x00", mostFile+1), "", "more than 65536 bytes: a key file has a key of 64"},
		{a + strings.Repeat("\n", mostFile), "", "more than 65536 bytes"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := ReadKeys(path)
		switch {
		case c.problem == "" && (err != nil || fmt.Sprintf("%x", keys) != c.keys):
			t.Errorf("from %q were read %x, %v", c.text, keys, err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem) || !strings.Contains(err.Error(), path)):
			t.Errorf("from %.80q were read %x, and the error is %v", c.text, keys, err)
		}
	}
	if keys, err := ReadKeys(""); keys != nil || err != nil {
		t.Errorf("without a file there are keys: %x, %v", keys, err)
	}
	if _, err := ReadKeys(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file is told as %v", err)
	}
}

func TestANodeThatWasCutOffHasJoinedAllTheSame(t *testing.T) {
	seed := runNode(t, gossip.Config{})
	if err := seed.Join(); err != nil {
		t.Fatal(err)
	}
	var told atomic.Bool
	node, joined, err := NewNode(loopback(t), func(gossip.NodeID, []byte) {}, gossip.Config{
		OnStateChange: func(gossip.State, gossip.State) { told.Store(true) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if joined() {
		t.Error("a node that nobody has answered yet is said to have joined")
	}
	run(t, node)
	if err := node.Join(seed.Address()); err != nil {
		t.Fatal(err)
	}
	await(t, "the seed knows the node", func() bool { return len(seed.Members()) > 0 })
	if err := seed.Leave(); err != nil {
		t.Fatal(err)
	}
	seed.Wake() // to send the goodbye
	await(t, "the node is cut off", func() bool { return node.State() == gossip.StateDisconnected })
	if !joined() {
		t.Error("a node that lost its seed is said to have never joined")
	}
	if !told.Load() {
		t.Error("the program's own OnStateChange is not called any more")
	}
}

func TestANodeHasUntilTheEndOfItsWaitToJoin(t *testing.T) {
	const wait = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		for _, joined := range []bool{false, true} {
			ctx, stop := Within(t.Context(), wait, func() bool { return joined }, Seeds{"192.0.2.1:7070"})
			defer stop()
			<-time.After(wait - 1) // of the bubble's time, not of the test's
			synctest.Wait()
			if err := ctx.Err(); err != nil {
				t.Errorf("the wait ended before its time: %v", context.Cause(ctx))
			}
			<-time.After(1)
			synctest.Wait()
			err := Cause(ctx)
			if joined && ctx.Err() != nil {
				t.Errorf("a node that has joined is ended by %v", err)
			}
			if !joined && (!errors.Is(err, ErrNobody) || !strings.Contains(err.Error(), "192.0.2.1:7070 in 10s")) {
				t.Errorf("the end of the wait is told as %v", err)
			}
		}
	})
}

func TestAnInterruptIsNoError(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Hour} {
		parent, interrupt := context.WithCancel(t.Context())
		ctx, stop := Within(parent, wait, func() bool { return false }, nil)
		defer stop()
		interrupt()
		<-ctx.Done()
		if err := Cause(ctx); err != nil {
			t.Errorf("with a wait of %v, an interrupt is told as %v", wait, err)
		}
	}
}
