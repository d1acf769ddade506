//go:build linux || darwin

package main

import (
	"flag"
	"fmt"
	"math"
	"net"
	"net/http"
	"testing"
	"time"
)

var screenshot = flag.String("screenshot", "", "`file` that TestPicture writes the page to, as PNG, while a message spreads over 1000 nodes")

// text is what an element of the page says.
func text(id string) string { return fmt.Sprintf("document.getElementById(%q).textContent", id) }

// says reports whether an element of the page says something that matches.
func says(id, pattern string) string {
	return fmt.Sprintf("new RegExp(%q).test(%s)", pattern, text(id))
}

// openLive shows the page of a new cluster of 60 nodes.
func openLive(t *testing.T) (*cluster, *chrome) {
	t.Helper()
	b := startChrome(t)
	o := quick(60)
	o.latency, o.config.RetryInterval = 20*time.Millisecond, 100*time.Millisecond
	c := start(t, o)
	s := serveTest(t, c)
	b.window(1400, 900, nil)
	b.open(s.URL)
	b.await("all nodes have joined and settled", says("connected", "^60$")+" && "+says("summary", "^No message yet"))
	t.Cleanup(func() {
		for _, p := range b.complaints() {
			t.Errorf("the page complains: %s", p)
		}
	})
	return c, b
}

func TestPageSendsMessages(t *testing.T) {
	_, b := openLive(t)
	b.click("#say button")
	b.await("a sentence tells how message 1 did", says("summary", `^Message 1 reached 60 of 60 nodes in [0-9.]+ m?s, [0-9.]+ copies each\.$`))
	b.await("the ring shows that all have it", says("share", "^60 of 60$"))
	b.await("the chart says so too", says("chart-text", "^Message 1 has reached 60 of 60 nodes, 50 % after"))

	b.click("#say .choice label:nth-child(2)")
	b.press("m")
	b.await("a key sends a random message", says("messages", "random60 / 60"))
	b.click("#messages tbody tr:last-child button")
	b.await("message 1 is looked at again", says("summary", "^Message 1 ")+` && document.querySelector("#messages tr.focus button").textContent === "1"`)
	b.press("Escape")
	b.await("Escape goes to the newest", says("summary", "^Message 2 "))

	b.await("there is no second end to choose", `document.getElementById("to-label").hidden`)
	b.click("#say .choice label:nth-child(3)")
	b.await("a Direct message has a second end", `!document.getElementById("to-label").hidden`)
	b.press("m")
	b.await("a Direct message reaches one", says("messages", "direct1 / 1"))
}

func TestPageFollowsANodeThroughACrash(t *testing.T) {
	c, b := openLive(t)
	var node int
	waitUntil(t, func() string { return fmt.Sprintf("a click on the ring picks node %d", node) }, func() bool {
		var x, y float64
		node, x, y = lonely(t, c, b)
		b.clickAt(x, y)
		return b.eval(`document.getElementById("picked").value`) == fmt.Sprint(node)
	})
	b.await("it tells of itself", says("node", "stateCONNECTED.*members[1-9]"))
	b.await("and so does the ring to who cannot see it", fmt.Sprintf(`document.getElementById("ring").ariaValueText === "node %d, CONNECTED, lacks the message"`, node))
	b.press("c")
	b.await("it is down", says("down", "^1$")+" && "+says("node", "stateDOWN")+` && document.getElementById("crash").disabled`)
	b.press("m")
	b.await("a message reaches the others", says("summary", "^Message 1 reached 59 of 59 nodes"))
	b.click("#restart")
	b.await("it catches up", says("connected", "^60$")+" && "+says("summary", "^Message 1 reached 60 of 60 nodes"))

	b.press("x")
	b.await("a fifth crashes", says("down", "^12$"))
	b.press("u")
	b.await("all are back", says("down", "^0$")+" && "+says("connected", "^60$"))

	b.click("#ring")
	b.await("the middle of the ring picks none", `document.getElementById("picked").value === ""`)
	for place := 1; place <= 2; place++ {
		b.press("ArrowRight")
		b.await("an arrow picks the next from the top", fmt.Sprintf(`document.getElementById("picked").value !== "" && document.getElementById("ring").ariaValueNow === "%d"`, place))
	}
	b.press("Escape")
	b.await("Escape picks none", `document.getElementById("picked").value === ""`)
	b.click("#picked")
	b.press("5")
	b.press("c")
	b.await("a key that is typed does nothing else", says("node", "stateCONNECTED")+` && document.getElementById("picked").value === "5"`)
	b.press("Escape")
	b.await("Escape picks none there too", text("node")+` === "" && document.getElementById("picked").value === ""`)
	b.press("1")
	b.press(".")
	b.press("5")
	b.await("there is no node between two", `document.getElementById("picked").value === "1.5" && `+text("node")+` === ""`)
}

func TestTheCurveOfAMessageStaysWhenNodesComeBack(t *testing.T) {
	_, b := openLive(t)
	got := b.eval(`(async () => {
		const {Model, curveOf} = await import("/model.js"), model = new Model();
		const frame = (state, reached, got) => model.apply({
			time: 0, nodes: [{node: 0, state: "CONNECTED", ring: 0}, {node: 1, state, ring: 0.5}],
			messages: [{message: 1, spread: "broadcast", said: 100, reached, of: state === "DOWN" ? 1 : 2, all: 10}],
			got: got.map(([node, at]) => ({message: 1, node, at})),
		});
		const curves = [];
		for (const [state, reached, got] of [["CONNECTED", 2, [[0, 100], [1, 110]]], ["DOWN", 1, []], ["CONNECTED", 1, []], ["CONNECTED", 2, [[1, 5000]]]]) {
			frame(state, reached, got);
			curves.push(JSON.stringify(curveOf(model.message(1))));
		}
		return curves;
	})()`).([]any)
	for i, curve := range got {
		if curve != `{"times":[0,10],"of":2}` {
			t.Errorf("after %d frames the curve is %v", i+1, curve)
		}
	}
}

// lonely returns the node that is farthest from the others on the ring, and where
// on the page it is.
func lonely(t *testing.T, c *cluster, b *chrome) (node int, x, y float64) {
	t.Helper()
	nodes, widest := show(t, c).Nodes, 0.0
	for _, n := range nodes {
		gap := 1.0
		for _, other := range nodes {
			if d := math.Abs(n.Ring - other.Ring); other.Node != n.Node {
				gap = min(gap, d, 1-d)
			}
		}
		if gap > widest {
			node, widest = n.Node, gap
		}
	}
	at := b.eval(`(() => { const r = document.getElementById("ring").getBoundingClientRect(); return [r.x, r.y, r.width]; })()`).([]any)
	left, top, size := at[0].(float64), at[1].(float64), at[2].(float64)
	sin, cos := math.Sincos(2 * math.Pi * nodes[node].Ring)
	radius := size * 0.4
	return node, left + size/2 + radius*sin, top + size/2 - radius*cos
}

func TestPageSteersTheNetwork(t *testing.T) {
	c, b := openLive(t)
	b.click("#part")
	b.await("the ring is cut", `document.getElementById("part").ariaPressed === "true" && `+says("part", "^Heal"))
	b.press("m")
	b.await("a message waits at the cut", says("summary", "^Message 1 waits at the cut, with [1-5]?[0-9] of 60 nodes"))
	b.press("p")
	b.await("healed, it goes on", says("summary", "^Message 1 reached 60 of 60 nodes"))

	b.click("#loss")
	b.press("ArrowRight")
	b.await("the slider moves", says("loss-value", "^31 %$"))
	b.click("#latency")
	b.press("ArrowLeft")
	b.await("the other too", says("latency-value", "^490 ms$"))
	if s := show(t, c).Settings; s.Loss != 31 || s.Latency != 490 {
		t.Errorf("the network is set to %+v", s)
	}
}

func TestPageIsForEverybody(t *testing.T) {
	_, b := openLive(t)
	b.press("Tab")
	b.await("a key goes to the first thing to focus, and it shows", `document.activeElement.matches("a.skip:focus-visible") && document.activeElement.getBoundingClientRect().x >= 0`)
	b.await("every control has a name", `[...document.querySelectorAll("button, input, select, canvas")].every((e) =>
		e.labels?.length || e.ariaLabel || e.textContent.trim())`)
	b.click("#table summary")
	b.await("the ring is a table too", `document.querySelectorAll("#table tbody tr").length === 60`)
	b.await("the table scrolls in a box of its own", `[...document.querySelectorAll("#table .scroll")].some((box) => box.clientHeight < Math.min(box.scrollHeight, innerHeight / 2))`)
	b.await("the keys come before the table", `document.querySelector(".keys").compareDocumentPosition(document.getElementById("table")) === Node.DOCUMENT_POSITION_FOLLOWING`)
	for _, width := range []int{360, 600, 1000, 1100, 1400, 2200} {
		for _, scheme := range []string{"light", "dark"} {
			b.window(width, 900, map[string]string{"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"})
			b.await(fmt.Sprintf("nothing is wider than %d pixels", width), fmt.Sprintf("innerWidth === %d && document.documentElement.scrollWidth <= innerWidth", width))
		}
	}
	b.press("m")
	b.await("a message is told without motion", says("summary", "^Message 1 reached 60 of 60"))
	b.await("all have it", says("share", "^60 of 60$"))
	paper := "getComputedStyle(document.body).backgroundColor"
	dark := b.eval(paper)
	b.click("#theme")
	b.await("the button makes it light", fmt.Sprintf("document.documentElement.dataset.theme === 'light' && %s !== %q", paper, dark))
}

func TestPageSaysWhatIsWrong(t *testing.T) {
	b := startChrome(t)
	c := start(t, quick(5))
	s := serveTest(t, c)
	b.open(s.URL)
	b.await("all nodes are shown to be connected", says("connected", "^5$"))
	b.click("#picked")
	b.press("3")
	b.await("it is picked", says("node", "stateCONNECTED"))
	b.click("#crash")
	b.await("it is down", says("down", "^1$"))
	b.eval(`document.getElementById("from").value = "picked"`)
	b.eval(`document.querySelector("#from").value = "any"`)
	b.press("M")
	b.await("message 1 is said, by a key as the page shows it", says("summary", "^Message 1 "))
	b.eval(`document.querySelector("#from").value = "picked"`)
	b.click("#say button")
	b.await("a node that is down says nothing", says("problem", "node 3 is down"))
	must(t, s.Listener.Close())
	s.CloseClientConnections()
	b.await("it says that the program has ended", says("problem", "start it again"))

	again, err := net.Listen("tcp", s.Listener.Addr().String())
	must(t, err)
	web := &http.Server{Handler: newHandler(start(t, quick(2)))}
	go web.Serve(again)
	t.Cleanup(func() { web.Close() })
	b.await("it shows the program that was started again, and nothing of the one before", says("connected", "^2$")+" && "+
		says("summary", "^No message yet")+" && "+says("share", "^$")+` && document.getElementById("picked").value === ""`)
}

func TestPicture(t *testing.T) {
	if *screenshot == "" {
		t.Skip("no -screenshot file.png")
	}
	b := startChrome(t)
	c := start(t, options{nodes: 1000, seed: 1, latency: 200 * time.Millisecond, config: slow()})
	s := serveTest(t, c)
	b.window(1400, 900, map[string]string{"prefers-color-scheme": "light"})
	b.open(s.URL)
	b.await("all have joined and are calm", says("connected", "^1,000$")+" && "+says("rate", "^1,[0-9]{3}$"))
	b.click("#say .choice label:nth-child(2)")
	b.press("m")
	b.await("a random message reaches all", says("summary", "^Message 1 reached 1,000 of"))
	b.click("#say .choice label:first-child")
	b.eval("document.activeElement.blur()")
	b.press("m")
	b.await("most have the broadcast", `[...Array(350).keys()].some((i) => `+text("share")+` === `+"`${600 + i} of 1,000`)")
	b.screenshot(*screenshot)
}
