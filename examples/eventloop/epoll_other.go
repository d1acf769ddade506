//go:build !linux

package main

import "example.com/gossip/examples/internal/cli"

func newEpollWaiter(*relay) (waiter, error) {
	return nil, cli.Usage("-poller epoll needs Linux, take -poller receive")
}
