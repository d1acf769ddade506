package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// serveTest serves the page of a cluster.
func serveTest(t *testing.T, c *cluster) *httptest.Server {
	t.Helper()
	return serveHandler(t, newHandler(c))
}

func serveHandler(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections() // a stream ends with its page only, or with the cluster
		s.Close()
	})
	return s
}

// post sends a form and returns the status and the text of the answer.
func post(t *testing.T, s *httptest.Server, path, form string, header http.Header) (int, string) {
	t.Helper()
	r, err := http.NewRequest("POST", s.URL+path, strings.NewReader(form))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, values := range header {
		r.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	answer, err := s.Client().Do(r)
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	return answer.StatusCode, string(text)
}

func TestThePageIsServed(t *testing.T) {
	s := serveTest(t, start(t, quick(2)))
	for _, path := range []string{"/", "/live.css", "/live.js", "/model.js", "/ring.js", "/chart.js", "/summary.js", "/tables.js", "/text.js", "/icon.svg"} {
		answer, err := s.Client().Get(s.URL + path)
		must(t, err)
		text, err := io.ReadAll(answer.Body)
		must(t, err)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK || len(text) < 100 || !strings.Contains(answer.Header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s is answered %s, %d bytes, %v", path, answer.Status, len(text), answer.Header)
		}
		if path != "/icon.svg" && strings.Contains(string(text), "https://") {
			t.Errorf("%s names something of another site", path)
		}
	}
}

func TestControlsSteer(t *testing.T) {
	c := start(t, quick(10))
	s := serveTest(t, c)
	steer := func(path, form, want string) {
		t.Helper()
		if status, text := post(t, s, path, form, nil); status != http.StatusOK || strings.TrimSpace(text) != want {
			t.Errorf("%s with %q is answered %d %q, not %s", path, form, status, text, want)
		}
	}
	steer("/send", "spread=broadcast&from=3", `{"message":1}`)
	awaitReached(t, c, 1, 10, 10)
	steer("/send", "spread=direct&from=3&to=any", `{"message":2}`)
	steer("/crash", "node=3", `{"crashed":1}`)
	steer("/crash", "share=20", `{"crashed":2}`)
	steer("/restart", "node=3", `{"restarted":1}`)
	steer("/restart", "node=any", `{"restarted":2}`)
	steer("/network", "loss=12.5&latency=3&parted=true", `{}`)
	f := show(t, c)
	if v := *f.Settings; v.Loss != 12.5 || v.Latency != 3 || !v.Parted {
		t.Errorf("the network is set to %+v", v)
	}
	answer, err := s.Client().Get(s.URL + "/node?node=4")
	must(t, err)
	defer answer.Body.Close()
	var d details
	must(t, json.NewDecoder(answer.Body).Decode(&d))
	if d.Node != 4 || d.ID == "" || d.Stats.DatagramsOut == 0 {
		t.Errorf("node 4 says of itself %+v", d)
	}
}

func TestBadValuesAreRefusedInASentence(t *testing.T) {
	s := serveTest(t, start(t, quick(3)))
	for _, x := range []struct{ path, form, says string }{
		{"/send", "spread=shout", `"shout" is not a spread`},
		{"/send", "spread=broadcast&from=3", "there is no node 3: they are 0 to 2"},
		{"/send", "spread=broadcast&from=-1", `"-1" is not the number`},
		{"/send", "spread=broadcast&from=x", `"x" is not the number`},
		{"/send", "spread=direct&from=1&to=1", "cannot send to itself"},
		{"/send", "spread=%zz", "form is invalid"},
		{"/send", "spread=broadcast&junk=" + strings.Repeat("x", mostForm), "form is invalid"},
		{"/crash", "share=0", "0 % is not a share"},
		{"/crash", "share=some", `"some" is not a share`},
		{"/crash", "node=99999999999999999999", "is not the number"},
		{"/restart", "node=1", "node 1 is not down"},
		{"/network", "loss=NaN", "NaN"},
		{"/network", "loss=91", "between 0 and 90"},
		{"/network", "latency=2001", "use 0 to 2000 milliseconds"},
		{"/network", "latency=9223372036854775807", "use 0 to 2000 milliseconds"},
		{"/network", "parted=perhaps", "true or false"},
	} {
		status, text := post(t, s, x.path, x.form, nil)
		if status != http.StatusBadRequest || !strings.Contains(text, x.says) || strings.Count(text, "\n") != 1 {
			t.Errorf("%s with %.40q is answered %d %q", x.path, x.form, status, text)
		}
	}
}

func TestOtherSitesCannotSteer(t *testing.T) {
	c := start(t, quick(3))
	s := serveTest(t, c)
	own, err := url.Parse(s.URL)
	must(t, err)
	for _, x := range []struct {
		who    string
		header http.Header
		status int
	}{
		{"another site", http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		{"a sister site", http.Header{"Sec-Fetch-Site": {"same-site"}}, http.StatusForbidden},
		{"another site in an old browser", http.Header{"Origin": {"http://elsewhere.example"}}, http.StatusForbidden},
		{"a page without an origin", http.Header{"Origin": {"null"}}, http.StatusForbidden},
		{"a name that was made to point here", http.Header{"Host": {"elsewhere.example:" + own.Port()}}, http.StatusForbidden},
		{"the page", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {s.URL}}, http.StatusOK},
		{"the page as localhost", http.Header{"Host": {"localhost:" + own.Port()}}, http.StatusOK},
		{"the page at an IPv6 address and port 80", http.Header{"Host": {"[::1]"}}, http.StatusOK},
		{"a program", nil, http.StatusOK},
	} {
		if status, text := post(t, s, "/network", "loss=1", x.header); status != x.status {
			t.Errorf("%s is answered %d %q instead of %d", x.who, status, text, x.status)
		}
	}
	answer, err := s.Client().Get(s.URL + "/send?spread=broadcast")
	must(t, err)
	answer.Body.Close()
	if f := show(t, c); answer.StatusCode == http.StatusOK || len(f.Messages) > 0 {
		t.Errorf("a GET says a message, and is answered %s", answer.Status)
	}
}

func TestTheStreamYieldsFrames(t *testing.T) {
	c := start(t, quick(5))
	s := serveTest(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/events", nil)
	must(t, err)
	answer, err := s.Client().Do(r)
	must(t, err)
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("the stream is %q", kind)
	}
	must(t, func() error { _, err := c.send(anyNode, "broadcast", anyNode); return err }())
	lines, got := bufio.NewReader(answer.Body), 0
	for frames := 0; got < 5; {
		line, err := lines.ReadString('\n')
		must(t, err)
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var f frame
		must(t, json.Unmarshal([]byte(data), &f))
		if f.Reset != (frames == 0) {
			t.Errorf("frame %d has reset %v", frames, f.Reset)
		}
		frames++
		got += len(f.Got)
	}
	cancel()
	waitUntil(t, func() string { return "the listener is forgotten when its page is closed" }, func() bool {
		listeners := -1
		must(t, c.do(func() error { listeners = len(c.hub.listeners); return nil }))
		return listeners == 0
	})
}
