package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		{strings.Repeat("x", 1<<20), "", "too long"},
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

func TestANodeHasUntilTheEndOfItsWaitToFindSomebody(t *testing.T) {
	node := runNode(t, gossip.Config{})
	parent, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ctx, stop := Within(parent, time.Millisecond, node, Seeds{"192.0.2.1:7070"})
	defer stop()
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("the wait does not end")
	}
	if err := Cause(ctx); !errors.Is(err, ErrNobody) || !strings.Contains(err.Error(), "192.0.2.1:7070") {
		t.Errorf("the end of the wait is told as %v", err)
	}
	for _, wait := range []time.Duration{0, time.Hour} {
		ctx, stop := Within(parent, wait, node, nil)
		defer stop()
		if wait > 0 {
			interrupt()
			<-ctx.Done()
		}
		if err := Cause(ctx); err != nil {
			t.Errorf("with a wait of %v, an interrupt is told as %v", wait, err)
		}
	}
}
