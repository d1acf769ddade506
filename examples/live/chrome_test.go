//go:build linux || darwin

package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// chrome is a browser without a window that a test drives by the DevTools
// protocol: JSON with a zero byte behind each message, through two pipes.
type chrome struct {
	t       *testing.T
	toIt    *os.File
	session string

	mu       sync.Mutex
	last     int
	calls    map[int]chan answer
	problems []string // exceptions and errors on the console of the page
}

type answer struct {
	ID     int
	Result json.RawMessage
	Error  *struct{ Message string }
	Method string // of an event
	Params json.RawMessage
}

// startChrome starts a browser, or skips the test where there is none.
func startChrome(t *testing.T) *chrome {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no chromium or google-chrome is installed here")
	}
	itReads, toIt, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromIt, itWrites, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "chrome")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--hide-scrollbars", "--user-data-dir="+filepath.Join(profile, "data"), "about:blank")
	cmd.ExtraFiles = []*os.File{itReads, itWrites} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Skipf("the browser does not start: %v", err)
	}
	itReads.Close()
	itWrites.Close()
	b := &chrome{t: t, toIt: toIt, calls: map[int]chan answer{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(fromIt)
	}()
	t.Cleanup(func() {
		toIt.Close() // which ends a browser that is steered by a pipe
		ended := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		cmd.Wait()
		ended.Stop()
		<-read
		fromIt.Close()
		os.RemoveAll(profile)
	})

	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	b.call("Page.enable", nil, nil)
	b.call("Runtime.enable", nil, nil)
	b.call("Log.enable", nil, nil)
	return b
}

// read hands answers to their callers, and keeps what the page complains of.
func (b *chrome) read(from *os.File) {
	in := bufio.NewReader(from)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			break
		}
		var a answer
		if json.Unmarshal(text[:len(text)-1], &a) != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case a.ID != 0 && b.calls[a.ID] != nil:
			b.calls[a.ID] <- a
			delete(b.calls, a.ID)
		case a.Method == "Runtime.exceptionThrown",
			a.Method == "Log.entryAdded" && strings.Contains(string(a.Params), `"level":"error"`):
			if len(b.problems) < 5 { // the first say enough
				b.problems = append(b.problems, string(a.Params[:min(len(a.Params), 400)]))
			}
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.calls {
		close(c)
	}
	b.calls = nil
}

// call has the browser do something and reads its answer into result, if that is
// not nil.
func (b *chrome) call(method string, params, result any) {
	b.t.Helper()
	answers := make(chan answer, 1)
	b.mu.Lock()
	if b.calls == nil {
		b.mu.Unlock()
		b.t.Fatalf("the browser ended before %s", method)
	}
	b.last++
	request := map[string]any{"id": b.last, "method": method}
	b.calls[b.last] = answers
	b.mu.Unlock()
	if params != nil {
		request["params"] = params
	}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	text, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.toIt.Write(append(text, 0)); err != nil {
		b.t.Fatalf("the browser does not take %s: %v", method, err)
	}
	select {
	case a, ok := <-answers:
		if !ok {
			b.t.Fatalf("the browser ended in %s", method)
		}
		if a.Error != nil {
			b.t.Fatalf("%s: %s", method, a.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(a.Result, result); err != nil {
				b.t.Fatalf("%s answers %s: %v", method, a.Result, err)
			}
		}
	case <-time.After(patience):
		b.t.Fatalf("the browser does not answer %s", method)
	}
}

// open shows a page and waits until it is ready: its handlers are there, and the cluster is
// drawn.
func (b *chrome) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.await("the page is ready", `document.readyState === "complete" && document.querySelector("main[aria-busy=false]")`)
}

// eval returns the value of an expression on the page, as JSON has it.
func (b *chrome) eval(expression string) any {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if e := r.ExceptionDetails; e != nil {
		b.t.Fatalf("%s: %s %s", expression, e.Text, e.Exception.Description)
	}
	return r.Result.Value
}

// await waits until an expression is true on the page.
func (b *chrome) await(what, expression string) {
	b.t.Helper()
	waitUntil(b.t, func() string {
		return fmt.Sprintf("%s (%s); the page says\n%v", what, expression, b.eval(`document.body.innerText.slice(0, 2000)`))
	}, func() bool { return b.eval("Boolean("+expression+")") == true })
}

// click presses the mouse in the middle of an element, again if the element moves away
// meanwhile.
func (b *chrome) click(selector string) {
	b.t.Helper()
	b.await(selector+" is there", fmt.Sprintf("document.querySelector(%q)", selector))
	b.eval(fmt.Sprintf(`clicked = false;
		document.querySelector(%q).addEventListener("click", () => { clicked = true; }, {once: true})`, selector))
	waitUntil(b.t, func() string { return selector + " is clicked" }, func() bool {
		at, _ := b.eval(fmt.Sprintf(`(() => {
			const e = document.querySelector(%q);
			e.scrollIntoView({block: "center", behavior: "instant"});
			const r = e.getBoundingClientRect();
			return [r.x + r.width / 2, r.y + r.height / 2];
		})()`, selector)).([]any)
		b.clickAt(at[0].(float64), at[1].(float64))
		return b.eval("clicked") == true
	})
}

func (b *chrome) clickAt(x, y float64) {
	b.t.Helper()
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}, nil)
	}
}

// press presses a key, named as in KeyboardEvent.key, again until the page has taken it: a page
// that is busy or has no focus yet may lose it.
func (b *chrome) press(key string) {
	b.t.Helper()
	b.eval(`pressed = false; addEventListener("keydown", () => { pressed = true; }, {once: true, capture: true})`)
	waitUntil(b.t, func() string { return "the page takes the key " + key }, func() bool {
		b.call("Page.bringToFront", nil, nil)
		b.pressOnce(key)
		return b.eval("pressed") == true
	})
}

func (b *chrome) pressOnce(key string) {
	b.t.Helper()
	down := map[string]any{"type": "rawKeyDown", "key": key}
	code, known := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowRight": 39}[key]
	if known {
		down["windowsVirtualKeyCode"] = code
	}
	if len(key) == 1 {
		down["type"], down["text"] = "keyDown", key
	}
	if key == "Enter" {
		down["type"], down["text"] = "keyDown", "\r"
	}
	b.call("Input.dispatchKeyEvent", down, nil)
	b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}, nil)
}

// window sets the size of the page in pixels, and what it is told of the media.
func (b *chrome) window(width, height int, media map[string]string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
	features := []map[string]string{}
	for name, value := range media {
		features = append(features, map[string]string{"name": name, "value": value})
	}
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": features}, nil)
}

// screenshot writes what the page shows to a PNG file.
func (b *chrome) screenshot(file string) {
	b.t.Helper()
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o666); err != nil {
		b.t.Fatal(err)
	}
}

// complaints returns what went wrong on the page.
func (b *chrome) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.problems
}
