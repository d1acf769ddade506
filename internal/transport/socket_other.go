//go:build !unix || aix

package transport

// socket and outlet have no use where every connection is used through its own methods.
type (
	socket struct{}
	outlet struct{}
)

// useSocket leaves the Conn with readPacket and writePacket.
func (c *Conn) useSocket() error {
	return nil
}
