package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

// invalidKeys are Keys that are refused, by what is wrong with them.
func invalidKeys() map[string][][]byte {
	k := testKey('k')
	return map[string][][]byte{
		"short": {k[:31]}, "long": {append(testKey('k'), 0)}, "twice": {k, k}, "clear twice": {nil, k, nil},
		"too many": {k, testKey(1), testKey(2), testKey(3), testKey(4), testKey(5), testKey(6), testKey(7), testKey(8)},
	}
}

func TestConfigThatCannotWorkIsRefusedByName(t *testing.T) {
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dialed, err := net.DialUDP("udp4", nil, taken.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	inUse := syscall.EADDRINUSE
	if runtime.GOOS == "windows" {
		inUse = 10048 // which Go does not take for the same
	}
	const loopback = "127.0.0.1:0"
	receiver := func(NodeID, []byte) {}
	type refusal struct {
		self     string
		receiver func(NodeID, []byte)
		config   Config
		is       error
		names    string
	}
	refusals := []refusal{
		{loopback, nil, Config{}, ErrConfig, "receiver"},
		{"", receiver, Config{}, ErrAddress, "self"},
		{taken.LocalAddr().String(), receiver, Config{}, inUse, taken.LocalAddr().String()},
		{loopback, receiver, Config{Conn: dialed}, ErrConfig, "connected"},
		{loopback, receiver, Config{Advertise: mustParseAddress(t, "0.0.0.0:7070")}, ErrConfig, "Advertise"},
		{loopback, receiver, Config{Advertise: mustParseAddress(t, loopback)}, ErrConfig, "Advertise"},
		{loopback, receiver, Config{Advertise: mustParseAddress(t, "224.0.0.1:7070")}, ErrConfig, "Advertise"},
		{loopback, receiver, Config{Cluster: strings.Repeat("x", 256)}, ErrConfig, "Cluster"},
		{loopback, receiver, Config{Cluster: "\xff"}, ErrConfig, "Cluster"},
		{loopback, receiver, Config{Zone: strings.Repeat("x", 256)}, ErrConfig, "Zone"},
		{loopback, receiver, Config{Zone: "\xff"}, ErrConfig, "Zone"},
		{loopback, receiver, Config{Spread: Direct(Address{})}, ErrConfig, "Spread"},
	}
	for _, keys := range invalidKeys() {
		refusals = append(refusals, refusal{loopback, receiver, Config{Keys: keys}, ErrConfig, "Keys"})
	}
	for _, c := range refusals {
		var self Address
		if err := self.UnmarshalText([]byte(c.self)); err != nil {
			t.Fatal(err)
		}
		n, err := New(self, c.receiver, c.config)
		if !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.names) {
			t.Errorf("New of a node whose %s is wrong returned the error %v", c.names, err)
		}
		if strings.Contains(fmt.Sprint(err), "kkkk") {
			t.Errorf("the error shows a key: %v", err)
		}
		if n != nil {
			n.Close()
		}
	}
}

// The documentation of a field says 'Default: 1 s; 10 ms to 1 h.' or the like: what it says is
// applied, at the bounds and beyond them.
func TestConfigDefaultsAndBoundsAreAsDocumented(t *testing.T) {
	documented := regexp.MustCompile(`Default: ([^.;,]+)[.;,](?: (?:([^.]+) to ([^.]+)|at most ([^.]+))\.)?`)
	bounded := 0
	for _, field := range configFields(t) {
		doc := strings.Join(strings.Fields(field.Doc.Text()), " ")
		name := field.Names[0].Name
		set := func(x int64) (int64, error) {
			var c Config
			v := reflect.ValueOf(&c).Elem().FieldByName(name)
			v.SetInt(x)
			c, err := c.withDefaults()
			return reflect.ValueOf(c).FieldByName(name).Int(), err
		}
		if kind := reflect.ValueOf(Config{}).FieldByName(name).Kind(); kind != reflect.Int && kind != reflect.Int64 {
			continue
		}
		bounded++
		m := documented.FindStringSubmatch(doc)
		if m == nil {
			t.Errorf("the documentation of %s gives no default: %s", name, doc)
			continue
		}
		if name != "ReadBuffer" { // which the system sets
			if got, err := set(0); got != quantity(t, m[1]) || err != nil {
				t.Errorf("the default of %s is %d, documented as %s, error %v", name, got, m[1], err)
			}
		}
		least, most := int64(1), int64(0)
		switch {
		case name == "MaxMessageSize": // whose least depends on other fields
			least, most = 68, 65507
		case m[2] != "":
			least, most = quantity(t, m[2]), quantity(t, m[3])
		default:
			most = quantity(t, m[4])
		}
		for _, x := range []int64{least, most} {
			if got, err := set(x); got != x || err != nil {
				t.Errorf("%s may be %d, and becomes %d, error %v", name, x, got, err)
			}
		}
		for _, x := range []int64{-1, math.MinInt32, least - 1, most + 1} {
			if _, err := set(x); x != 0 && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), name+" ")) {
				t.Errorf("%s must not be %d, and the error is %v", name, x, err)
			}
		}
	}
	if bounded != 12 {
		t.Errorf("the documentation of %d numbers was read, not of 12", bounded)
	}
	if c, err := (Config{}).withDefaults(); c.Spread != Broadcast || err != nil {
		t.Errorf("the default of Spread is %v, error %v", c.Spread, err)
	}
}

// configFields returns the fields of Config in the source.
func configFields(t *testing.T) []*ast.Field {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	config := file.Scope.Lookup("Config").Decl.(*ast.TypeSpec).Type.(*ast.StructType)
	return config.Fields.List
}

// quantity returns the number, or the nanoseconds, that a text of the documentation stands for.
func quantity(t *testing.T, text string) int64 {
	t.Helper()
	number, unit, _ := strings.Cut(text, " ")
	base, exponent, power := strings.Cut(number, "^")
	x, err := strconv.ParseInt(base, 10, 64)
	if power && err == nil {
		var e int64
		e, err = strconv.ParseInt(exponent, 10, 64)
		x = int64(math.Pow(float64(x), float64(e)))
	}
	units := map[string]int64{
		"": 1, "KiB": 1 << 10, "ms": int64(time.Millisecond), "s": int64(time.Second), "min": int64(time.Minute), "h": int64(time.Hour),
	}
	if err != nil || units[unit] == 0 {
		t.Errorf("%q is no quantity: %v", text, err)
	}
	return x * units[unit]
}

func TestConfigReachesTheNode(t *testing.T) {
	c := Config{
		Advertise: virtualAddr(1), Cluster: "blue", Zone: "rack 1", Keys: [][]byte{testKey('k')}, Logger: slog.New(slog.DiscardHandler),
		TickInterval: 1, RetryInterval: 2, AckDelay: 3, OrderedWait: 4, RumorFactor: 5, BroadcastFactor: 6, MaxMessageSize: 7,
		MaxOutputMessages: 8, MaxMembers: 9, DataLogSize: 10, RetryAttempts: 11, SkipHistory: true, Ordered: true,
	}
	got := c.node(virtualAddr(2).ap)
	for f := range reflect.TypeFor[node.Config]().Fields() {
		var want any
		switch f.Name {
		case "Local":
			want = virtualAddr(2).ap
		case "Advertise":
			want = virtualAddr(1).ap
		case "Records":
			want = true
		case "Attempts":
			want = c.attempts()
		default: // has the same name in both
			want = reflect.ValueOf(c).FieldByName(f.Name).Interface()
		}
		if value := reflect.ValueOf(got).FieldByIndex(f.Index).Interface(); !reflect.DeepEqual(value, want) {
			t.Errorf("the %s of the node is %v instead of %v", f.Name, value, want)
		}
	}
	if (&Config{}).node(netip.AddrPort{}).Records {
		t.Error("without a Logger the node keeps records")
	}
}

func TestConfigSmallestMaxMessageSizeIsAsDocumented(t *testing.T) {
	key := [][]byte{make([]byte, 32)}
	for _, c := range []struct {
		config Config
		least  int
	}{
		{Config{}, 68}, {Config{Keys: key}, 104},
		{Config{Cluster: strings.Repeat("x", 20)}, 68}, {Config{Cluster: strings.Repeat("x", 100)}, 148},
		{Config{Cluster: strings.Repeat("x", 100), Keys: key}, 184}, {Config{Cluster: strings.Repeat("x", 255)}, 303},
	} {
		for _, size := range []int{c.least - 1, c.least} {
			c.config.MaxMessageSize = size
			_, err := c.config.withDefaults()
			if (err == nil) != (size == c.least) || err != nil && !strings.Contains(err.Error(), "MaxMessageSize") {
				t.Errorf("with a name of %d bytes and %d keys MaxMessageSize %d gave %v", len(c.config.Cluster), len(c.config.Keys), size, err)
			}
		}
	}
}

// wrapped is a PacketConn that is not a *net.UDPConn.
type wrapped struct{ net.PacketConn }

func TestConfigConnIsUsedAndClosed(t *testing.T) {
	listen := func() net.PacketConn {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	udp, other := listen(), net.PacketConn(wrapped{listen()})
	config := brisk
	config.Conn = udp
	a := startLoop(t, "", config)
	config.Conn = other
	b := startLoop(t, "", config)
	if a.Address().String() != udp.LocalAddr().String() || b.Address().String() != other.LocalAddr().String() {
		t.Errorf("the nodes on own sockets are at %v and %v, the sockets at %v and %v", a.Address(), b.Address(), udp.LocalAddr(), other.LocalAddr())
	}
	form(a, b)
	a.publish("from a UDPConn")
	wantOnce(t, "from a UDPConn", b)
	b.publish("from another PacketConn")
	wantOnce(t, "from another PacketConn", a)

	if _, err := a.SyscallConn(); err != nil {
		t.Errorf("SyscallConn of a node on a UDPConn: %v", err)
	}
	if _, err := b.SyscallConn(); err == nil {
		t.Error("SyscallConn of a node on a PacketConn that has none returned no error")
	}
	a.kill()
	b.kill()
	for _, conn := range []net.PacketConn{udp, other} {
		if err := conn.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close left the socket %v of type %T open", conn.LocalAddr(), conn)
		}
	}
}

// FuzzConfig sets a Config to anything: a field is refused by its name, or all work.
func FuzzConfig(f *testing.F) {
	add := func(cluster, advertise string, keys []byte, flags uint8, numbers ...int64) {
		var b []byte
		for _, n := range numbers {
			b = binary.AppendVarint(b, n)
		}
		f.Add(cluster, advertise, keys, flags, b)
	}
	add("blue", "203.0.113.9:7070", append(testKey('a'), testKey('b')...), 7, 255, 64, 64, 1400, 1<<24, 1<<20, 1<<30, 1<<30)
	add(strings.Repeat("x", 255), "[2001:db8::1]:1", testKey('a'), 8, 1, 1, 1, 338, 1, 9, 530, 0, 1e7, 6e10, 36e11, 1e9)
	add("\xff", "0.0.0.0:1", testKey('a')[:31], 1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1)
	add("", "", nil, 3, 1, 1, 1, 68, 1, 9, 300, 1, 36e11, 1e6, 1e6, 1)
	f.Fuzz(func(t *testing.T, cluster, advertise string, keys []byte, flags uint8, numbers []byte) {
		c := Config{Cluster: cluster, Ordered: flags&1 != 0, SkipHistory: flags&2 != 0, Keys: slices.Collect(slices.Chunk(keys, 32))}
		c.Spread = []Spread{{}, Broadcast, Random, Direct(virtualAddr(int(flags)))}[flags>>2&3]
		c.Advertise, _ = ParseAddress(advertise)
		var n [12]int64
		for i := range n {
			x, size := binary.Varint(numbers)
			n[i], numbers = x, numbers[max(size, 0):]
		}
		c.RetryAttempts, c.RumorFactor, c.BroadcastFactor, c.MaxMessageSize = int(n[0]), int(n[1]), int(n[2]), int(n[3])
		c.MaxOutputMessages, c.MaxMembers, c.DataLogSize, c.ReadBuffer = int(n[4]), int(n[5]), int(n[6]), int(n[7])
		c.TickInterval, c.RetryInterval = time.Duration(n[8]), time.Duration(n[9])
		c.OrderedWait, c.AckDelay = time.Duration(n[10]), time.Duration(n[11])
		checked, err := c.withDefaults()
		if err != nil {
			named := func(f reflect.StructField) bool { return strings.Contains(err.Error(), f.Name) }
			if !errors.Is(err, ErrConfig) || !slices.ContainsFunc(reflect.VisibleFields(reflect.TypeFor[Config]()), named) {
				t.Fatalf("the error for %+v names no field: %v", c, err)
			}
			return
		}
		c.MaxMessageSize = min(checked.MaxMessageSize, 4096) // more would take longer
		if c.Ordered {
			c.DataLogSize = max(checked.DataLogSize, 1<<13) // where the longest can wait
		}
		worksWith(t, c)
	})
}

// worksWith fails unless two nodes of a Config deliver the longest messages of each other. The
// network delivers to the other node whatever the address.
func worksWith(t *testing.T, c Config) {
	v := newVirtualNet(t, 1)
	a := v.add(c)
	c.Advertise = Address{}
	b := v.add(c)
	a.sock.peer, b.sock.peer = b.sock.LocalAddr(), a.sock.LocalAddr()
	limit := time.Minute + 100*a.config.TickInterval
	a.join()
	b.join(a.Address())
	if !v.RunWhile(limit, func() bool { return len(a.Members()) == 0 || len(b.Members()) == 0 }) {
		t.Fatalf("with %+v two nodes do not meet", c)
	}
	long := strings.Repeat("x", a.MaxPayload())
	a.publish(long, Broadcast)
	b.publish(long, Broadcast)
	if !v.RunWhile(limit, func() bool { return !slices.Contains(a.got, long) || !slices.Contains(b.got, long) }) {
		t.Fatalf("with %+v two nodes do not deliver each other's messages: %+v", c, b.Stats())
	}
}
