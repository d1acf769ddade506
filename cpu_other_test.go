//go:build !unix

package gossip

import "time"

// cpuTime is the one of cpu_unix_test.go where there is no getrusage.
func cpuTime() time.Duration { return 0 }
