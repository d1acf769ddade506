package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/clitest"
)

// service is a replica that runs as a program, on sockets.
type service struct {
	*clitest.Program
	t            *testing.T
	http, gossip string // its addresses
}

func start(t *testing.T, args ...string) *service {
	t.Helper()
	args = append([]string{"-http", "127.0.0.1:0", "-listen", "127.0.0.1:0"}, args...)
	p := clitest.Start(t, func(ctx context.Context, stdout, stderr io.Writer) int { return run(ctx, args, stdout, stderr) })
	return &service{p, t, p.Stderr.Find(t, `http=(\S+)`), p.Stderr.Find(t, `gossip=(\S+)`)}
}

// ask makes a request and returns the answer, or 0 and why there is none.
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

// gets waits until a GET is answered in this way.
func (s *service) gets(path string, code int, text string) {
	s.t.Helper()
	var gotCode int
	var got string
	clitest.Until(s.t, func() string { return path + " is answered with " + text + ", not " + got },
		func() bool {
			gotCode, got = s.ask("GET", path, "")
			return gotCode == code && strings.Contains(got, text)
		})
}

func TestThreeProgramsHaveTheSameFlags(t *testing.T) {
	first := start(t, "-first")
	if code, text := first.ask("PUT", "/flags/dark-mode", "on"); code != 204 {
		t.Fatalf("the first replica answers %d %s", code, text)
	}
	others := []*service{start(t, "-seed", first.gossip), start(t, "-seed", first.gossip)}
	for _, s := range others {
		s.gets("/readyz", 200, "synced")
		s.gets("/flags", 200, `{"dark-mode":"on"}`)
		s.gets("/healthz", 200, "ok")
		_, text := s.ask("GET", "/metrics", "")
		samples := clitest.Exposition(t, text)
		if samples["flags_synced"] != 1 || samples["flags_live"] != 1 || samples["gossip_connected"] != 1 {
			t.Errorf("a synced replica serves\n%s", text)
		}
	}
	if code, text := others[0].ask("PUT", "/flags/dark-mode", "off"); code != 204 {
		t.Fatalf("another replica answers %d %s", code, text)
	}
	if code := others[0].Interrupt(); code != 0 {
		t.Errorf("at an interrupt a replica ends with code %d\n%s", code, &others[0].Stderr)
	}
	first.gets("/flags/dark-mode", 200, "off")
	others[1].gets("/flags/dark-mode", 200, "off")
}

func TestAReplicaWaitsForItsSeedsAsLongAsItIsTold(t *testing.T) {
	silent := clitest.TakenAddress(t)
	s := start(t, "-seed", silent)
	s.gets("/readyz", 503, "has not got the flags")
	s.gets("/healthz", 200, "ok")
	if code := s.Interrupt(); code != 0 {
		t.Errorf("a replica that would wait for ever ends with code %d at an interrupt\n%s", code, &s.Stderr)
	}
	s = start(t, "-seed", silent, "-wait", "50ms")
	if code := s.Wait(); code != 1 {
		t.Errorf("a replica that nobody answered ended with code %d\n%s", code, &s.Stderr)
	}
	s.Stderr.Find(t, `\nflags: nobody answers at `+silent+` in 50ms: check .*\n$`)
}

func TestMistakesAreToldInOneLine(t *testing.T) {
	taken := clitest.TakenAddress(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const anyHTTP, anyUDP = "-http=127.0.0.1:0", "-listen=127.0.0.1:0"
	clitest.Mistakes(t, "flags", run,
		clitest.Ends(2, "give -seed"),
		clitest.Ends(2, "give -seed", "-first", "-seed", "127.0.0.1:7070"),
		clitest.Ends(1, "cannot listen on "+taken, anyHTTP, "-first", "-listen", taken),
		clitest.Ends(1, "cannot serve HTTP on "+l.Addr().String(), anyUDP, "-first", "-http", l.Addr().String()),
		clitest.Ends(2, `-http "8080"`, anyUDP, "-first", "-http", "8080"),
		clitest.Ends(1, "cannot read the keys", anyHTTP, anyUDP, "-first", "-key", filepath.Join(t.TempDir(), "missing")),
		clitest.Ends(2, "Cluster", anyHTTP, anyUDP, "-first", "-cluster", "\xff"),
		clitest.Ends(2, "Advertise", anyHTTP, anyUDP, "-first", "-advertise", "0.0.0.0:7070"),
		clitest.Ends(2, "-wait -1s", "-first", "-wait", "-1s"),
		clitest.Ends(2, `"7070"`, "-seed", "7070"),
		clitest.Ends(2, "-loud", "-loud"),
		clitest.Ends(2, `"hello"`, "hello"),
	)
}

// idle returns a replica whose loop does not turn.
func idle(t *testing.T) *life {
	t.Helper()
	listen, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReplica(listen, true, gossip.Config{MaxOutputMessages: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.node.Close() })
	return &life{replica: r, t: t}
}

func TestRequestsThatCannotBe(t *testing.T) {
	r := idle(t)
	want := func(method, path, body string, code int, says string) {
		t.Helper()
		if got, text := r.ask(method, path, body); got != code || !strings.Contains(text, says) {
			t.Errorf("%s %.40s with %d bytes is answered with %d %q, want %d %q", method, path, len(body), got, text, code, says)
		}
	}
	longName, longValue := strings.Repeat("n", mostName), strings.Repeat("v", mostValue)
	want("PUT", "/flags/a", "early", 503, "not be spread now")
	if err := r.node.Join(); err != nil {
		t.Fatal(err)
	}
	want("PUT", "/flags/"+longName, longValue, 204, "")
	want("GET", "/flags/"+longName, "", 200, longValue)
	want("PUT", "/flags/"+longName, longValue+"v", 413, "at most 1000 bytes")
	want("PUT", "/flags/a", strings.Repeat("v", 10<<20), 413, "at most 1000 bytes")
	want("PUT", "/flags/a", "\xff", 400, "UTF-8")
	want("PUT", "/flags/"+longName+"n", "", 400, "1 to 64")
	want("GET", "/flags/a%20b", "", 400, "1 to 64")
	want("GET", "/flags/", "", 404, "")
	want("GET", "/flags/none", "", 404, "no such flag")
	want("DELETE", "/flags/none", "", 404, "no such flag")
	want("POST", "/flags/a", "", 405, "")
	for i := range mostFlags - 1 {
		r.store.take(entry{name: strings.Repeat("x", i%mostName+1) + string(rune('a'+i/mostName)), version: 1})
	}
	want("PUT", "/flags/one-too-many", "v", 507, "delete one first")
	want("DELETE", "/flags/"+longName, "", 204, "")
	want("PUT", "/flags/one-more", "v", 204, "")
	r.ending.Store(true)
	want("GET", "/readyz", "", 503, "is ending")
	want("GET", "/flags/one-more", "", 200, "v")
}

// While the cluster does not keep up a change waits for room; the request ends the wait.
func TestAChangeWaitsForRoom(t *testing.T) {
	r := idle(t)
	listen, err := gossip.ParseAddress("127.0.0.1:7071") // which nobody answers: messages stay
	if err != nil {
		t.Fatal(err)
	}
	if err := r.node.Join(listen); err != nil {
		t.Fatal(err)
	}
	put := func(ctx context.Context) int {
		w := httptest.NewRecorder()
		r.handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "PUT", "/flags/a", strings.NewReader(strings.Repeat("v", mostValue))))
		return w.Code
	}
	for range 100_000 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		code := put(ctx)
		waited := ctx.Err() != nil
		cancel()
		if code == 503 {
			if !waited {
				t.Error("a change did not wait for room")
			}
			return
		}
	}
	t.Error("a node without members takes changes without end")
}
