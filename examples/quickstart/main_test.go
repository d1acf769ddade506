package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestQuickstartPrintsWhatTheOthersGot(t *testing.T) {
	const want = `node 2 got "hello, cluster" from node 1
node 3 got "hello, cluster" from node 1
`
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, failed strings.Builder
	start := time.Now()
	if code := run(ctx, nil, &out, &failed); code != 0 || failed.Len() > 0 {
		t.Fatalf("quickstart ended with code %d and said %q", code, failed.String())
	}
	if out.String() != want {
		t.Errorf("quickstart printed\n%s\ninstead of\n%s", out.String(), want)
	}
	t.Logf("quickstart took %v", time.Since(start))
}

// full is an output that cannot be written.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestQuickstartTellsWhenItCannotPrint(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var failed strings.Builder
	if code := run(ctx, nil, full{}, &failed); code != 1 || failed.String() != "quickstart: disk full\n" {
		t.Errorf("when it could not print, quickstart ended with code %d and said %q", code, failed.String())
	}
}

func TestQuickstartGivesUpWhenItIsOutOfTime(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, failed strings.Builder
	if code := run(ctx, nil, &out, &failed); code != 1 || out.Len() > 0 {
		t.Errorf("without time quickstart ended with code %d and printed %q", code, out.String())
	}
	if lines := strings.Count(failed.String(), "\n"); lines != 1 || !strings.HasPrefix(failed.String(), "quickstart: ") {
		t.Errorf("without time quickstart complained in %d lines:\n%s", lines, failed.String())
	}
}

func TestQuickstartTakesNoArguments(t *testing.T) {
	for _, arg := range []string{"-loud", "hello"} {
		var out, failed strings.Builder
		if code := run(t.Context(), []string{arg}, &out, &failed); code != 2 || out.Len() > 0 {
			t.Errorf("with %q quickstart ended with code %d and printed %q", arg, code, out.String())
		}
		if says := failed.String(); strings.Count(says, "\n") != 1 || !strings.Contains(says, arg) {
			t.Errorf("with %q quickstart should say one line, not\n%s", arg, says)
		}
	}
}
