//go:build !unix || aix

package transport

// socket has no use where every connection is read through readPacket.
type socket struct{}

// useSocket leaves the Conn with readPacket.
func (c *Conn) useSocket() error {
	return nil
}
