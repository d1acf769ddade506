package metrics

import (
	"fmt"
	"math"
	"net/http/httptest"
	"reflect"
	"strconv"
	"testing"

	"example.com/gossip"
	"example.com/gossip/examples/internal/clitest"
)

// served returns what the handler answers, which follows the grammar.
func served(t *testing.T, families ...Family) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(func() []Family { return families })(w, httptest.NewRequest("GET", "/metrics", nil))
	if kind := w.Header().Get("Content-Type"); kind != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("the content type is %q, by which Prometheus does not know the format", kind)
	}
	clitest.Exposition(t, w.Body.String())
	return w.Body.String()
}

func TestTextEscapesWhatWouldEndALine(t *testing.T) {
	got := served(t, Gauge("x", "a \\ and\na \"quote\"", 1), Family{Name: "y_total", Help: "h",
		Samples: []Sample{{"cause", "a \\ and\na \"quote\"", 2}, {"cause", "é", 3}}})
	const want = "# HELP x a \\\\ and\\na \"quote\"\n# TYPE x gauge\nx 1\n" +
		"# HELP y_total h\n# TYPE y_total counter\n" + `y_total{cause="a \\ and\na \"quote\""} 2` + "\ny_total{cause=\"é\"} 3\n"
	if got != want {
		t.Errorf("the text is\n%s\nwant\n%s", got, want)
	}
}

func TestTextHasAnyValue(t *testing.T) {
	for _, v := range []float64{0, 1, -1, 0.001, 1 << 53, math.MaxUint64, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.NaN()} {
		samples := clitest.Exposition(t, served(t, Gauge("x", "h", v)))
		if got := samples["x"]; got != v && got == got {
			t.Errorf("%v is served as %v", v, got)
		}
	}
	served(t) // nothing
}

// Each field of Stats is served once: each is set to a number of its own here.
func TestStatsAreServedWhole(t *testing.T) {
	var s gossip.Stats
	fields := map[float64]string{}
	for i, f := range reflect.VisibleFields(reflect.TypeFor[gossip.Stats]()) {
		v := reflect.ValueOf(&s).Elem().FieldByIndex(f.Index)
		if v.CanUint() {
			v.SetUint(uint64(1000 + i))
		} else {
			v.SetInt(int64(1000 + i))
		}
		fields[float64(1000+i)] = f.Name
	}
	for name, value := range clitest.Exposition(t, served(t, stats(s)...)) {
		if fields[value] == "" {
			t.Errorf("%s has the value %v, of no field of Stats or of one that is served twice", name, value)
		}
		delete(fields, value)
	}
	for _, field := range fields {
		t.Errorf("Stats.%s is not served", field)
	}
}

func TestGossipTellsWhetherTheNodeIsConnected(t *testing.T) {
	self, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	node, err := gossip.New(self, func(gossip.NodeID, []byte) {}, gossip.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	for i, step := range []func() error{func() error { return nil }, func() error { return node.Join() }} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		if got := clitest.Exposition(t, served(t, Gossip(node)...))["gossip_connected"]; got != float64(i) {
			t.Errorf("gossip_connected is %v for a node that is %v", got, node.State())
		}
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{"Tag": "tag", "UnknownType": "unknown_type", "": ""} {
		if got := snake(name); got != want {
			t.Errorf("%s is %s, want %s", strconv.Quote(name), got, fmt.Sprintf("%q", want))
		}
	}
}
