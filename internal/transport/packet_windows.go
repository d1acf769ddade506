package transport

import (
	"errors"
	"syscall"
)

// wsaEMsgSize is what Windows returns with the first len(buf) bytes of a longer datagram.
const wsaEMsgSize = syscall.Errno(10040)

// isCut reports whether a read failed only because the datagram was longer than the buffer.
func isCut(err error) bool {
	return errors.Is(err, wsaEMsgSize)
}
