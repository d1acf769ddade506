package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/clitest"
)

// service is a replica that runs.
type service struct {
	*clitest.Program
	t            *testing.T
	http, gossip string // its addresses
}

// start starts a replica and waits until it can be asked.
func start(t *testing.T, args ...string) *service {
	t.Helper()
	args = append([]string{"-http", "127.0.0.1:0", "-listen", "127.0.0.1:0"}, args...)
	p := clitest.Start(t, func(ctx context.Context, stdout, stderr io.Writer) int { return run(ctx, args, stdout, stderr) })
	return &service{p, t, p.Stderr.Find(t, `http=(\S+)`), p.Stderr.Find(t, `gossip=(\S+)`)}
}

// startThree starts three replicas and waits until they are ready.
func startThree(t *testing.T, args ...string) []*service {
	t.Helper()
	a := start(t, args...)
	args = append(args, "-seed", a.gossip)
	all := []*service{a, start(t, args...), start(t, args...)}
	for _, s := range all {
		s.ready()
	}
	return all
}

// ready waits until the replica is ready and knows two others.
func (s *service) ready() {
	s.t.Helper()
	s.gets("/readyz", 200, "CONNECTED\n")
	clitest.Until(s.t, func() string { return fmt.Sprintf("a replica knows the two others: %+v", s.vars().Gossip) },
		func() bool { return s.vars().Gossip.Members == 2 })
}

// ask makes a request and returns the status and the body of the answer, or 0 and why
// there is none.
func (s *service) ask(method, path, body string) (code int, text string) {
	req, err := http.NewRequest(method, "http://"+s.http+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	client := http.Client{Timeout: clitest.Patience}
	answer, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(b)
}

// must makes a change that is to be accepted.
func (s *service) must(method, key, value string) {
	s.t.Helper()
	if code, text := s.ask(method, "/cache/"+key, value); code != http.StatusNoContent {
		s.t.Errorf("%s of %s is answered with %d %s", method, key, code, text)
	}
}

// gets waits until a GET is answered in this way.
func (s *service) gets(path string, code int, text string) {
	s.t.Helper()
	var gotCode int
	var gotText string
	clitest.Until(s.t, func() string {
		return fmt.Sprintf("GET %s is answered with %d %q, it is %d %q", path, code, text, gotCode, gotText)
	}, func() bool {
		gotCode, gotText = s.ask("GET", path, "")
		return gotCode == code && (text == "" || gotText == text)
	})
}

// counts are what a replica publishes.
type counts struct {
	Cache  map[string]int
	Gossip gossip.Stats
}

func (s *service) vars() (c counts) {
	s.t.Helper()
	code, text := s.ask("GET", "/debug/vars", "")
	if err := json.Unmarshal([]byte(text), &c); err != nil || code != 200 {
		s.t.Fatalf("/debug/vars answers with %d and no JSON: %v\n%s", code, err, text)
	}
	return c
}

func TestAWriteAtOneReplicaTurnsUpAtTheOthers(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(strings.Repeat("0a", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	all := startThree(t, "-key", keyFile)
	all[0].must("PUT", "greeting", "hello")
	for _, s := range all {
		s.gets("/cache/greeting", 200, "hello")
	}
	all[1].must("PUT", "greeting", "hello again")
	for _, s := range all {
		s.gets("/cache/greeting", 200, "hello again")
	}
	all[2].must("DELETE", "greeting", "")
	for _, s := range all {
		s.gets("/cache/greeting", 404, "")
		c := s.vars()
		if c.Cache["hits"] < 2 || c.Cache["misses"] < 1 || c.Cache["entries"] != 1 || c.Gossip.Sent != 1 || c.Gossip.Delivered != 2 {
			t.Errorf("after three writes, one at each replica, one of them counts %+v", c)
		}
	}
}

// Writes of the same keys at the same time: whichever wins, it wins everywhere.
func TestReplicasAgreeInTheEnd(t *testing.T) {
	const keys, rounds = 5, 4
	all := startThree(t)
	var writers sync.WaitGroup
	for i, s := range all {
		writers.Go(func() {
			for n := range keys * rounds {
				key := fmt.Sprintf("key%d", n%keys)
				if n%7 == 6 {
					s.must("DELETE", key, "")
				} else {
					s.must("PUT", key, fmt.Sprintf("%d of replica %d", n, i))
				}
			}
		})
	}
	writers.Wait()
	for _, s := range all {
		clitest.Until(t, func() string { return fmt.Sprintf("all writes have reached a replica: %+v", s.vars().Cache) },
			func() bool {
				c := s.vars().Cache
				return c["taken"]+c["older"] == len(all)*keys*rounds
			})
	}
	for n := range keys {
		path := fmt.Sprintf("/cache/key%d", n)
		code, text := all[0].ask("GET", path, "")
		for i, s := range all {
			if c, x := s.ask("GET", path, ""); c != code || x != text {
				t.Errorf("of %s replica %d holds %d %q, but replica 0 %d %q", path, i, c, x, code, text)
			}
		}
	}
}

func TestAReplicaThatStartsAnewGetsWhatTheOthersRetain(t *testing.T) {
	all := startThree(t)
	all[2].must("PUT", "own", "of its earlier life")
	all[0].must("PUT", "old", "value")
	all[1].gets("/cache/old", 200, "value")
	all[1].must("DELETE", "old", "")
	all[0].must("PUT", "kept", "value")
	if code := all[2].Interrupt(); code != 0 {
		t.Fatalf("a replica ended with code %d\n%s", code, &all[2].Stderr)
	}
	anew := start(t, "-seed", all[0].gossip)
	anew.gets("/cache/own", 200, "of its earlier life")
	anew.gets("/cache/kept", 200, "value")
	clitest.Until(t, func() string { return fmt.Sprintf("four writes are there: %v", anew.vars().Cache) }, func() bool {
		c := anew.vars().Cache
		return c["taken"]+c["older"] == 4
	})
	if code, text := anew.ask("GET", "/cache/old", ""); code != 404 {
		t.Errorf("what was deleted came back with %d %q", code, text)
	}
	anew.must("PUT", "own", "of its new life")
	all[0].gets("/cache/own", 200, "of its new life")
}

// What was accepted right before the end is handed over, and the others are told.
func TestAReplicaThatEndsSaysGoodbye(t *testing.T) {
	all := startThree(t)
	for n := range 50 {
		all[2].must("PUT", fmt.Sprintf("last%d", n), "words")
	}
	if code := all[2].Interrupt(); code != 0 {
		t.Errorf("a replica ended with code %d\n%s", code, &all[2].Stderr)
	}
	for _, s := range all[:2] {
		for n := range 50 {
			s.gets(fmt.Sprintf("/cache/last%d", n), 200, "words")
		}
		clitest.Until(t, func() string { return fmt.Sprintf("one of two members is gone: %+v", s.vars().Gossip) },
			func() bool { return s.vars().Gossip.Members == 1 })
		if lost := s.vars().Gossip.MembersLost; lost > 0 {
			t.Errorf("the replica went without a goodbye: %d lost", lost)
		}
	}
}

// A request under way at the interrupt is answered, a new one is not accepted.
func TestTheEndWaitsForRequests(t *testing.T) {
	s := start(t)
	s.gets("/readyz", 200, "CONNECTED\n")
	c, err := net.Dial("tcp", s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(clitest.Patience))
	fmt.Fprint(c, "PUT /cache/slow HTTP/1.1\r\nHost: cache\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	answer := bufio.NewReader(c)
	for want := "HTTP/1.1 100 Continue\r\n"; want != "\r\n"; want = "\r\n" {
		if line, err := answer.ReadString('\n'); line != want {
			t.Fatalf("the replica should ask for the value by %q, not %q, %v", want, line, err)
		}
	}
	code := make(chan int)
	go func() { code <- s.Interrupt() }()
	clitest.Until(t, func() string { return "connections are refused" }, func() bool {
		extra, err := net.Dial("tcp", s.http)
		if err == nil {
			extra.Close()
		}
		return err != nil
	})
	fmt.Fprint(c, "hello")
	for line := ""; !strings.HasPrefix(line, "HTTP/1.1 204"); {
		if line, err = answer.ReadString('\n'); err != nil {
			t.Fatalf("a request under way at the end is answered with %q, %v", line, err)
		}
	}
	if got := <-code; got != 0 {
		t.Errorf("the replica ended with code %d\n%s", got, &s.Stderr)
	}
}

func TestAReplicaWaitsForItsSeedsAsLongAsItIsTold(t *testing.T) {
	silent := clitest.TakenAddress(t)
	s := start(t, "-seed", silent)
	s.gets("/readyz", 503, "DISCONNECTED\n")
	s.gets("/healthz", 200, "ok\n")
	if code := s.Interrupt(); code != 0 {
		t.Errorf("a replica that would wait for ever ended with code %d at an interrupt\n%s", code, &s.Stderr)
	}
	s = start(t, "-seed", silent, "-wait", "300ms")
	if code := s.Wait(); code != 1 {
		t.Errorf("a replica that nobody answered ended with code %d\n%s", code, &s.Stderr)
	}
	s.Stderr.Find(t, `\ncache: nobody answers at `+silent+` in 300ms: check .*\n$`)
}

func TestMistakesAreToldInOneLine(t *testing.T) {
	taken := clitest.TakenAddress(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const anyHTTP, anyUDP = "-http=127.0.0.1:0", "-listen=127.0.0.1:0"
	clitest.Mistakes(t, "cache", run,
		clitest.Ends(1, "cannot listen on "+taken, anyHTTP, "-listen", taken),
		clitest.Ends(1, "cannot serve HTTP on "+l.Addr().String(), anyUDP, "-http", l.Addr().String()),
		clitest.Ends(2, `-http "8080"`, anyUDP, "-http", "8080"),
		clitest.Ends(2, `-http "127.0.0.1:99999"`, anyUDP, "-http", "127.0.0.1:99999"),
		clitest.Ends(1, "cannot read the keys", anyHTTP, anyUDP, "-key", filepath.Join(t.TempDir(), "missing")),
		clitest.Ends(1, "key file", anyHTTP, anyUDP, "-key", t.TempDir()),
		clitest.Ends(2, "-entries 0", "-entries", "0"),
		clitest.Ends(2, "-entries 1048577", "-entries", "1048577"),
		clitest.Ends(2, "-entries", "-entries", "many"),
		clitest.Ends(2, "-ttl 1ms", "-ttl", "1ms"),
		clitest.Ends(2, "-wait -1s", "-wait", "-1s"),
		clitest.Ends(2, "Cluster", anyHTTP, anyUDP, "-cluster", "\xff"),
		clitest.Ends(2, "Advertise", anyHTTP, anyUDP, "-advertise", "0.0.0.0:7070"),
		clitest.Ends(2, `"7070"`, "-listen", "7070"),
		clitest.Ends(2, `"7070"`, "-seed", "7070"),
		clitest.Ends(2, "-loud", "-loud"),
		clitest.Ends(2, `"hello"`, "hello"),
	)
}
