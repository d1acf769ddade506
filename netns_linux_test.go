package gossip

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// hostRole, in the environment, makes a copy of the test binary run the switch of a
	// story, named by its LAN, or a host.
	hostRole = "GOSSIP_TEST_HOST"
	// hostLimit bounds each wait for the hosts.
	hostLimit = 30 * time.Second
)

// hostLAN is how the hosts of a story are addressed and wired. Its wires carry no packets
// longer than every network or host of its protocol must take.
type hostLAN struct {
	ip, option string // format of a host's address, and further arguments of ip
	mtu        int
	// A host's interface can fail, then its system refuses to send, or the wire outside,
	// then no error is reported. An IPv6 address does not survive the first.
	inside bool
}

var hostLANs = map[string]hostLAN{
	"IPv4": {ip: "10.83.7.%d", option: "/24 dev eth0", mtu: 576, inside: true},
	"IPv6": {ip: "fd83:7::%d", option: "/64 dev eth0 nodad", mtu: 1280},
}

// Five processes, each in a network namespace of its own that one wire connects to a switch,
// are cut off, killed and started again. The switch is in a network namespace that ends with
// its process: nothing of this machine is touched, and nothing is left.
func TestNetnsHostsComeBackAfterCutsAndKills(t *testing.T) {
	role := os.Getenv(hostRole)
	if lan, ok := hostLANs[role]; ok {
		runStory(t, lan)
		return
	} else if role == "host" {
		runHost(t)
		return
	}
	if testing.Short() {
		t.Skip("a dozen processes that wait for one another take long")
	}
	for name, lan := range hostLANs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needHosts(t, lan)
			story := exec.Command(os.Args[0], "-test.v", "-test.run=^TestNetnsHostsComeBackAfterCutsAndKills$")
			story.Env = append(os.Environ(), hostRole+"="+name)
			story.SysProcAttr = ownNetwork()
			if _, err := story.StdinPipe(); err != nil { // when this process ends, so does the story
				t.Fatal(err)
			}
			out, err := story.CombinedOutput()
			if err != nil {
				t.Fatalf("the story of the hosts ends with %v:\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// needHosts skips the test where a switch and a wire cannot be made.
func needHosts(t *testing.T, lan hostLAN) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("wires between hosts are made by ip, of the package iproute2: %v", err)
	}
	try := exec.Command("ip", "-batch", "-")
	try.SysProcAttr = ownNetwork()
	try.Stdin = strings.NewReader("link add lan type bridge\nlink add wire type veth peer name eth0\n" +
		"link set eth0 up\naddr add " + fmt.Sprintf(lan.ip, 1) + lan.option + "\n")
	out, err := try.CombinedOutput()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		t.Skipf("ip cannot make a switch and a wire in a network namespace of our own: %v\n%s", err, out)
	} else if err != nil {
		t.Skipf("a process cannot be started in a network namespace of its own, which takes the rights of root, or user namespaces: %v", err)
	}
}

// ownNetwork starts a process in a new network namespace, where it has all rights: a user who
// is not root becomes root inside.
func ownNetwork() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// hostStory is the switch and all hosts, those that have ended too.
type hostStory struct {
	t     *testing.T
	lan   hostLAN
	lives []*machine
	sent  map[string]*machine // by text
	// smooth: tc cannot make the wires slow and lossy.
	smooth bool
}

// until waits until cond holds, and ends the story if it does not in time or a host ends
// by itself.
func (s *hostStory) until(what string, cond func() bool) {
	s.t.Helper()
	fail := func(format string, args ...any) {
		s.t.Helper()
		for _, h := range s.lives {
			s.t.Logf("host %d, on %s, printed:\n%s", h.number, h.wire, strings.Join(h.lines(), "\n"))
		}
		s.t.Fatalf(format, args...)
	}
	look, limit := time.NewTicker(5*time.Millisecond), time.After(hostLimit)
	defer look.Stop()
	for !cond() {
		for _, h := range s.lives {
			if !h.ending && len(h.ended) > 0 {
				fail("host %d ends with %v before it holds that %s", h.number, <-h.ended, what)
			}
		}
		select {
		case <-look.C:
		case <-limit:
			fail("after %v it does not hold that %s", hostLimit, what)
		}
	}
}

// boot starts a host, gives it a wire to the switch, an address and a node.
func (s *hostStory) boot(number int) *machine {
	s.t.Helper()
	ip := fmt.Sprintf(s.lan.ip, number)
	h := &machine{number: number, addr: net.JoinHostPort(ip, "7946"), ended: make(chan error, 1)}
	h.wire = fmt.Sprint("wire", len(s.lives)) // that of a former life may still be there
	h.cmd = exec.Command(os.Args[0], "-test.run=^TestNetnsHostsComeBackAfterCutsAndKills$")
	h.cmd.Env = append(os.Environ(), hostRole+"=host")
	h.cmd.SysProcAttr = ownNetwork()
	h.cmd.Stdout, h.cmd.Stderr = h, h
	console, err := h.cmd.StdinPipe()
	if err == nil {
		err = h.cmd.Start()
	}
	if err != nil {
		s.t.Fatalf("host %d does not start: %v", number, err)
	}
	s.t.Cleanup(func() { h.cmd.Process.Kill() })
	go func() { h.ended <- h.cmd.Wait() }()
	h.console = console
	s.lives = append(s.lives, h)

	// A host that comes back has its old hardware address: others have it in their tables.
	runIP(s.t, fmt.Sprintf("link add %s mtu %d type veth peer name eth0 mtu %[2]d address 02:00:00:00:00:%02x netns %d",
		h.wire, s.lan.mtu, number, h.cmd.Process.Pid))
	runIP(s.t, "link set "+h.wire+" master lan up")
	s.roughen(h)
	s.enter(h, "ip link set eth0 up")
	s.enter(h, "ip addr add "+ip+s.lan.option)
	s.enter(h, "start "+h.addr+" "+s.lives[0].addr)
	s.until(fmt.Sprintf("host %d is connected", number), func() bool { return h.last("state") == "CONNECTED" })
	return h
}

// enter writes a line to the console of a host.
func (s *hostStory) enter(h *machine, line string) {
	s.t.Helper()
	if _, err := fmt.Fprintln(h.console, line); err != nil {
		s.t.Fatalf("host %d does not take %q: %v", h.number, line, err)
	}
}

// send makes each of some hosts send a text of its own, and returns all texts.
func (s *hostStory) send(what string, hosts ...*machine) (texts []string) {
	s.t.Helper()
	for _, h := range hosts {
		text := fmt.Sprintf("host %d %s", h.number, what)
		s.enter(h, "send "+text)
		s.sent[text] = h
		texts = append(texts, text)
	}
	return texts
}

// reach waits until the texts are delivered to all the hosts that did not send them.
func (s *hostStory) reach(texts []string, hosts ...*machine) {
	s.t.Helper()
	for _, text := range texts {
		for _, h := range hosts {
			s.until(fmt.Sprintf("%.80q is delivered to host %d", text, h.number),
				func() bool { return s.sent[text] == h || h.times(text) > 0 })
		}
	}
}

// know waits until the members of each host are all the others.
func (s *hostStory) know(hosts ...*machine) {
	s.t.Helper()
	for _, h := range hosts {
		var others []string
		for _, o := range hosts {
			if o != h {
				others = append(others, o.last("id"))
			}
		}
		slices.Sort(others)
		s.until(fmt.Sprintf("the members of host %d are %v", h.number, others),
			func() bool { return h.last("members") == strings.Join(others, " ") })
	}
}

// roughen makes the wire to a host slow, reordering and lossy, if it can.
func (s *hostStory) roughen(h *machine) {
	if s.smooth {
		return
	}
	args := "qdisc add dev " + h.wire + " root netem delay 3ms 1ms loss 2%"
	if out, err := exec.Command("tc", strings.Fields(args)...).CombinedOutput(); err != nil {
		s.smooth = true
		s.t.Logf("the wires are fast and lose nothing, because there is no netem: tc %s: %v\n%s", args, err, out)
	}
}

func runStory(t *testing.T, lan hostLAN) {
	go func() { // the process that began the story holds the other end
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	s := &hostStory{t: t, lan: lan, sent: map[string]*machine{}}
	runIP(t, "link add lan type bridge")
	runIP(t, "link set lan up")
	begun := time.Now()
	passed := func(what string) { t.Logf("%5.2f s: %s", time.Since(begun).Seconds(), what) }

	var all []*machine
	for i := range 5 {
		all = append(all, s.boot(i+1))
	}
	s.know(all...)
	s.reach(s.send("is here", all...), all...)
	longest := "is long-winded " + strings.Repeat("-", 444-len("host 1 is long-winded ")) // MaxPayload with Keys
	s.reach(s.send(longest, all...), all...)
	passed("all know all, and all is delivered")

	cut, rest := all[2], slices.Concat(all[:2], all[3:])
	turn := func(way string) {
		if lan.inside {
			s.enter(cut, "ip link set eth0 "+way)
			s.until("host 3 has turned its interface "+way, func() bool { return strings.HasSuffix(cut.last("did"), way) })
		} else {
			runIP(t, "link set "+cut.wire+" "+way)
		}
	}
	turn("down")
	lonely := s.send("does not know yet that it is alone", cut)
	missed := s.send("talks while host 3 is cut off", rest...)
	s.reach(missed, rest...)
	s.until("host 3 is DISCONNECTED", func() bool { return cut.last("state") == "DISCONNECTED" })
	s.know(rest...)
	passed("host 3 and the others have lost each other")
	lonely = append(lonely, s.send("knows that it is alone", cut)...)
	missed = append(missed, s.send("goes on without host 3", rest...)...)
	s.reach(missed, rest...)
	for _, text := range slices.Concat(lonely, missed) {
		for _, h := range all {
			if (h == cut) != (s.sent[text] == cut) && h.times(text) > 0 {
				t.Fatalf("%q came to host %d through a wire that was down", text, h.number)
			}
		}
	}

	turn("up")
	mended := time.Now()
	s.reach(missed, cut)
	s.reach(lonely, rest...)
	s.know(all...)
	s.reach(s.send("sees host 3 again", all...), all...)
	if late := time.Since(mended); late > hostLimit {
		t.Errorf("it took %v until all was as before host 3 was cut off", late)
	}
	passed("host 3 is back, and nothing was missed")

	victim, rest := all[3], slices.Concat(all[:3], all[4:])
	victim.ending = true
	if err := victim.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.until("host 4 has ended", func() bool { return len(victim.ended) > 0 })
	s.reach(s.send("talks while host 4 is dead", rest...), rest...)
	s.know(rest...)
	s.reach(s.send("goes on without host 4", rest...), rest...)
	passed("host 4 is dead, and the others know it")

	all[3] = s.boot(4)
	s.reach(slices.Collect(maps.Keys(s.sent)), all...) // also what was sent before it started again
	s.know(all...)
	s.reach(s.send("sees host 4 again", all...), all...)
	passed("host 4 lives again, and received everything")

	for _, h := range s.lives { // only the former life of the victim may lack what was sent after it
		for text, from := range s.sent {
			if n := h.times(text); n > 1 || n > 0 == (h == from) && h != victim {
				t.Errorf("host %d got %.80q of host %d %d times", h.number, text, from.number, n)
			}
		}
	}
	s.quit(all[4])
	s.know(all[:4]...)
	s.quit(all[:4]...)
	for _, h := range all {
		s.until(fmt.Sprintf("host %d has ended", h.number), func() bool { return len(h.ended) > 0 })
		if err := <-h.ended; err != nil {
			t.Errorf("host %d left, but ended with %v:\n%s", h.number, err, strings.Join(h.lines(), "\n"))
		}
	}
	passed("all have left")
}

// quit makes hosts leave and end.
func (s *hostStory) quit(hosts ...*machine) {
	s.t.Helper()
	for _, h := range hosts {
		h.ending = true
		s.enter(h, "quit")
	}
}
