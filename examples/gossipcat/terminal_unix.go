//go:build linux || darwin || freebsd || netbsd || dragonfly

package main

import (
	"io"
	"os"
	"syscall"
	"unsafe"
)

// terminalSize returns the columns and rows of the terminal that w writes to; ok is false if
// it is none.
func terminalSize(w io.Writer) (columns, rows int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile {
		return 0, 0, false
	}
	var size struct{ rows, columns, _, _ uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, 0, false
	}
	if size.rows == 0 || size.columns == 0 { // a terminal that does not know
		return 80, 24, true
	}
	return int(size.columns), int(size.rows), true
}
