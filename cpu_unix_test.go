//go:build unix

package gossip

import (
	"syscall"
	"time"
)

// cpuTime returns what this process has used of the processors, in user and in
// system mode; 0 where that cannot be asked.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
