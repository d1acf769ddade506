//go:build !plan9 && !js

package main

import (
	"errors"
	"os/signal"
	"syscall"
)

// survivePipe makes a write that nobody reads fail instead of ending the program, so that
// the node can say goodbye.
func survivePipe() {
	signal.Ignore(syscall.SIGPIPE)
}

// isUnread reports whether a write failed because nobody reads.
func isUnread(err error) bool {
	return errors.Is(err, syscall.EPIPE)
}
