package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownLAN, in the environment, names the LAN that this process makes in the network of its own
// in which it was started.
const ownLAN = "TRANSPORT_TEST_LAN"

// lan is how the hosts of a LAN are addressed. Each but the first two is dead.
type lan struct{ host, option string }

var lans = map[string]lan{
	"IPv4": {host: "10.83.9.%d", option: "/24"},
	"IPv6": {host: "fd83:9::%d", option: "/64 nodad"},
}

func (l lan) addr(host int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(l.host, host)) }

// Packets to hosts that do not answer wait for their link-layer addresses in the send buffer,
// for up to three seconds each. The traffic to a living host goes on all the same.
func TestDeadHostsOnTheLANDoNotHoldUpSend(t *testing.T) {
	if l, ok := lans[os.Getenv(ownLAN)]; ok {
		sendPastDeadHosts(t, l)
		return
	}
	if testing.Short() {
		t.Skip("seconds until a host is known to be dead are not short")
	}
	for name := range lans {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("ip"); err != nil {
				t.Skipf("a LAN is made by ip, of the package iproute2: %v", err)
			}
			story := exec.Command(os.Args[0], "-test.v", "-test.run=^TestDeadHostsOnTheLANDoNotHoldUpSend$")
			story.Env = append(os.Environ(), ownLAN+"="+name)
			story.SysProcAttr = ownNetwork()
			out, err := story.CombinedOutput()
			if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
				t.Skipf("a process cannot be started in a network namespace of its own, which takes the rights of root, or user namespaces: %v", err)
			} else if err != nil {
				t.Fatalf("the story ends with %v:\n%s", err, out)
			} else if _, why, skipped := strings.Cut(string(out), noLAN); skipped {
				why, _, _ = strings.Cut(why, "\n")
				t.Skip(noLAN + why)
			}
			t.Logf("%s", out)
		})
	}
}

// noLAN begins the reason for which a LAN cannot be made.
const noLAN = "a LAN cannot be made here"

// ownNetwork starts a process in a new network namespace, where it may do what it likes: who
// is not root becomes it in there.
func ownNetwork() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// livingHost opens a socket on host 2, which is a thread with a network of its own. A wire
// leads from there to this process, which is host 1.
func livingHost(t *testing.T, l lan) (c *Conn) {
	thread := make(chan func() error)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: a thread with another network is of no use to others
		for step := range thread {
			done <- step()
		}
	}()
	defer close(thread)
	there := func(step func() error) error { thread <- step; return <-done }

	id := 0
	err := there(func() error { id = syscall.Gettid(); return syscall.Unshare(syscall.CLONE_NEWNET) })
	enter := func(host int) error {
		return errors.Join(ip("addr add "+l.addr(host).String()+l.option+" dev eth0"), ip("link set eth0 up"))
	}
	if err == nil {
		err = ip(fmt.Sprint("link add eth0 type veth peer name eth0 netns ", id))
	}
	if err == nil {
		err = errors.Join(enter(1), there(func() error { return enter(2) }))
	}
	if err != nil {
		t.Skipf("%s: %v", noLAN, err)
	}
	if err := there(func() (err error) { c, err = Listen(netip.AddrPortFrom(l.addr(2), 7946), 0); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func ip(command string) error {
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w\n%s", command, err, out)
	}
	return nil
}

// sendPastDeadHosts sends to four dead hosts and a living one, until datagrams still arrive at
// that one after the send buffer was full of packets to the others.
func sendPastDeadHosts(t *testing.T, l lan) {
	living := livingHost(t, l)
	c := listen(t, netip.AddrPortFrom(l.addr(1), 7946).String())
	setSendBuffer(t, c, 16<<10)

	timedOut, arrived, longest := 0, 0, time.Duration(0)
	for start := time.Now(); arrived < 10; {
		if time.Since(start) > patience {
			t.Fatalf("in %v %d Sends to five hosts timed out, and after the first of these %d datagrams reached the living host", patience, timedOut, arrived)
		}
		c.BeginBurst()
		begun := time.Now()
		for i := range burst {
			data := make([]byte, 500)
			if timedOut > 0 {
				data[0] = 1
			}
			err := c.Send(data, netip.AddrPortFrom(l.addr(2+i%5), 7946))
			if errors.Is(err, os.ErrDeadlineExceeded) {
				timedOut++
			} else if err != nil {
				t.Fatalf("a datagram to host %d became the error %v", 2+i%5, err)
			}
		}
		longest = max(longest, time.Since(begun))
		for r := receive(living, 0); r.err == nil; r = receive(living, 0) {
			arrived += int(r.data[0])
		}
	}
	t.Logf("%d Sends timed out; the longest burst took %v", timedOut, longest)
}

func setSendBuffer(t *testing.T, c *Conn, bytes int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, bytes)
	})
	if err := errors.Join(err, failed); err != nil {
		t.Fatalf("the send buffer cannot be made small: %v", err)
	}
}
