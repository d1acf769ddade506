//go:build !windows

package transport

// isCut reports false: only Windows returns an error with a datagram that it cuts.
func isCut(error) bool { return false }
