//go:build linux || darwin

package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// A slider that is dragged sends many values. With two requests under way at once, the older
// value could arrive last and hold.
func TestPageSendsTheValuesOfASliderInOrder(t *testing.T) {
	const last = 40
	handler, losses := newHandler(start(t, quick(5))), make(chan string, last)
	s := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/network" {
			losses <- r.PostFormValue("loss")
		}
		handler.ServeHTTP(w, r)
	}))
	b := startChrome(t)
	b.open(s.URL)
	b.await("all nodes are shown to be connected", says("connected", "^5$"))
	b.eval(fmt.Sprintf(`for (let loss = 1; loss <= %d; loss++) {
		document.getElementById("loss").value = loss;
		document.getElementById("loss").dispatchEvent(new Event("input"));
	}`, last))
	waitUntil(t, func() string { return "all values arrive" }, func() bool { return len(losses) == last })
	var want, got []string
	for loss := range last {
		want, got = append(want, fmt.Sprint(loss+1)), append(got, <-losses)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the values arrive as %v", got)
	}
	b.await("the last value holds", says("loss-value", fmt.Sprintf("^%d %%$", last)))
}
