package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/clitest"
)

// idle returns a replica whose loop only the test turns.
func idle(t *testing.T) *replica {
	t.Helper()
	o, err := parse([]string{"-listen", "127.0.0.1:0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReplica(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.node.Close() })
	return r
}

// ask hands a request to the replica's handler.
func (r *replica) ask(method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

func (r *replica) wants(t *testing.T, method, path, body string, code int, text string) {
	t.Helper()
	w := r.ask(method, path, body)
	if w.Code != code || !strings.Contains(w.Body.String(), text) {
		t.Errorf("%s %.40s with a body of %d bytes is answered with %d %.80q instead of %d %q",
			method, path, len(body), w.Code, w.Body, code, text)
	}
	if (w.Code == http.StatusServiceUnavailable && method != "GET") != (w.Header().Get("Retry-After") != "") {
		t.Errorf("%s %.40s is answered with %d and Retry-After %q", method, path, w.Code, w.Header().Get("Retry-After"))
	}
}

func TestAReplicaSaysWhetherItIsAliveAndReady(t *testing.T) {
	r := idle(t)
	r.wants(t, "GET", "/healthz", "", 503, "stuck")
	r.wants(t, "GET", "/readyz", "", 503, "INITIALIZED")
	r.wants(t, "PUT", "/cache/k", "too early", 503, "not now")
	r.wants(t, "GET", "/cache/k", "", 404, "")
	if err := r.node.Join(); err != nil {
		t.Fatal(err)
	}
	if err := r.turn(0); err != nil {
		t.Fatal(err)
	}
	r.wants(t, "GET", "/healthz", "", 200, "ok")
	r.wants(t, "GET", "/readyz", "", 200, "CONNECTED")
	if r.alive(time.Now().Add(time.Minute)) {
		t.Error("a replica whose loop has not turned for a minute is said to be alive")
	}
	if err := r.node.Leave(); err != nil {
		t.Fatal(err)
	}
	r.wants(t, "GET", "/readyz", "", 503, "DISCONNECTED")
	r.wants(t, "PUT", "/cache/k", "too late", 503, "not now")
}

func TestRequestsThatCannotBe(t *testing.T) {
	r := idle(t)
	if err := r.node.Join(); err != nil {
		t.Fatal(err)
	}
	longest := strings.Repeat("k", mostKey)
	room := r.node.MaxPayload() - writeHeader
	r.wants(t, "PUT", "/cache/"+longest, strings.Repeat("v", room-mostKey), 204, "")
	r.wants(t, "GET", "/cache/"+longest, "", 200, strings.Repeat("v", room-mostKey))
	r.wants(t, "PUT", "/cache/"+longest, strings.Repeat("v", room-mostKey+1), 413, "at most")
	r.wants(t, "GET", "/cache/"+longest, "", 200, strings.Repeat("v", room-mostKey))
	r.wants(t, "PUT", "/cache/k", strings.Repeat("v", 10<<20), 413, "at most")
	r.wants(t, "PUT", "/cache/k", "", 204, "")
	r.wants(t, "GET", "/cache/k", "", 200, "")
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		r.wants(t, method, "/cache/"+longest+"k", "v", 400, "a key has")
		r.wants(t, method, "/cache/a%20b", "v", 400, "a key has")
		r.wants(t, method, "/cache/%c3%a4", "v", 400, "a key has")
		r.wants(t, method, "/cache/", "v", 404, "")
		r.wants(t, method, "/elsewhere", "v", 404, "")
	}
	r.wants(t, "PUT", "/cache/a%2fb", "v", 204, "")
	r.wants(t, "GET", "/cache/a%2fb", "", 200, "v")
	r.wants(t, "POST", "/cache/k", "v", 405, "")
}

// withMember returns a replica whose loop only the test turns, by the function, until
// something holds, and another one that runs. They know each other.
func withMember(t *testing.T) (r *replica, until func(what string, cond func() bool), other *service) {
	t.Helper()
	r, other = idle(t), start(t)
	seed, err := gossip.ParseAddress(other.gossip)
	if err == nil {
		err = r.node.Join(seed)
	}
	if err != nil {
		t.Fatal(err)
	}
	until = func(what string, cond func() bool) {
		t.Helper()
		clitest.Until(t, func() string { return what }, func() bool {
			if err := r.turn(0); err != nil {
				t.Fatal(err)
			}
			return cond()
		})
	}
	until("a member is known", func() bool { return len(r.node.Members()) > 0 })
	return r, until, other
}

// A replica whose loop does not keep up says so, and takes writes again when it does.
func TestTooManyWritesAtOnceAreToldToComeAgain(t *testing.T) {
	r, until, other := withMember(t)
	accepted := 0
	for r.ask("PUT", "/cache/k", "v").Code == http.StatusNoContent {
		accepted++
		if accepted > 100_000 {
			t.Fatal("a loop that does not turn takes writes without end")
		}
	}
	r.wants(t, "PUT", "/cache/other", "v", 503, "too many writes")
	r.wants(t, "DELETE", "/cache/k", "", 503, "too many writes")
	r.wants(t, "GET", "/cache/other", "", 404, "")
	until("the queue is empty", func() bool { return r.node.Stats().QueuedData == 0 })
	r.wants(t, "PUT", "/cache/other", "v", 204, "")
	until("the write is sent", func() bool { return r.node.Stats().QueuedData == 0 })
	other.gets("/cache/other", 200, "v")
	other.gets("/cache/k", 200, "v")
}

func TestAWriteThatNobodyWouldTakeIsNotAccepted(t *testing.T) {
	r := idle(t)
	if err := r.node.Join(); err != nil {
		t.Fatal(err)
	}
	r.store.next(time.Now().Add(2 * mostAhead)) // and then the clock was set back
	r.wants(t, "PUT", "/cache/k", "v", 503, "not now")
	r.wants(t, "DELETE", "/cache/k", "", 503, "not now")
	if n := r.node.Stats().Sent; n > 0 {
		t.Errorf("%d writes were spread that nobody takes", n)
	}
}

// Leave drops what is not acknowledged, so the end of the loop comes before it.
func TestWhatWasAcceptedIsHandedOverAtTheEnd(t *testing.T) {
	r, _, other := withMember(t)
	const many = 500
	for n := range many {
		r.wants(t, "PUT", fmt.Sprintf("/cache/k%d", n), "v", 204, "")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.loop(ended); err != nil {
		t.Fatal(err)
	}
	clitest.Until(t, func() string { return fmt.Sprintf("%d writes were handed over: %v", many, other.vars().Cache) },
		func() bool { return other.vars().Cache["entries"] == many })
}
