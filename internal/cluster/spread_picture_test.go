package cluster

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var coverageFile = flag.String("coverage-svg", "", "write a picture of how messages spread through 1000 nodes to this `file`")

// TestSpreadPicture draws which part of the nodes has a message how long after it was sent, if it
// is asked to:
//
//	go test -run SpreadPicture ./internal/cluster -coverage-svg ../../testdata/coverage.svg
func TestSpreadPicture(t *testing.T) {
	if *coverageFile == "" {
		t.Skip("draws a picture when it is given -coverage-svg")
	}
	var curves []curve
	for _, c := range []struct {
		name, style string
		spreadCase
	}{
		{"no loss", "", spreadCase{nodes: 1000, messages: 20}},
		{"5 % loss", "7 3", spreadCase{nodes: 1000, messages: 20, loss: 0.05}},
		{"20 % loss", "2 3", spreadCase{nodes: 1000, messages: 20, loss: 0.20}},
		{"Random, no loss", "10 3 2 3", spreadCase{nodes: 1000, messages: 20, spread: random}},
	} {
		curves = append(curves, curve{c.name, c.style, c.run(t, 1).all})
	}
	if err := os.WriteFile(*coverageFile, []byte(draw(curves)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// curve is a line of the picture: the time of each delivery, ascending.
type curve struct {
	name, style string
	times       []time.Duration
}

// draw returns the curves as SVG. Lines differ by their dashes, not by colour.
func draw(curves []curve) string {
	const (
		width, height, left, bottom = 640, 320, 50, 40
		until                       = 400 * time.Millisecond
	)
	x := func(d time.Duration) float64 { return left + float64(d)/float64(until)*(width-left-10) }
	y := func(part float64) float64 { return height - bottom - part*(height-bottom-10) }
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, width, height)
	line(`<title>Part of 1000 simulated nodes that have a message, by the time since it was sent</title>`)
	line(`<style>path,line{stroke:#333;fill:none}text{fill:#333}@media(prefers-color-scheme:dark){path,line{stroke:#ddd}text{fill:#ddd}}</style>`)
	for part := range 5 {
		p := float64(part) / 4
		line(`<line x1="%d" y1="%.0f" x2="%d" y2="%.0f" stroke-opacity="0.2"/>`, left, y(p), width-10, y(p))
		line(`<text x="%d" y="%.0f" text-anchor="end">%.0f %%</text>`, left-6, y(p)+4, 100*p)
	}
	for d := time.Duration(0); d <= until; d += 50 * time.Millisecond {
		line(`<text x="%.0f" y="%d" text-anchor="middle">%d ms</text>`, x(d), height-bottom+18, d.Milliseconds())
	}
	for i, c := range curves {
		fmt.Fprintf(&b, `<path stroke-width="1.5" stroke-dasharray="%s" d="M%.1f %.1f`, c.style, x(0), y(0))
		for i := range 200 {
			n := (i + 1) * len(c.times) / 200
			if d := c.times[n-1]; d <= until {
				fmt.Fprintf(&b, "L%.1f %.1f", x(d), y(float64(n)/float64(len(c.times))))
			}
		}
		line(`"/>`)
		at := y(0.5) + float64(20*i)
		line(`<line x1="430" y1="%.0f" x2="470" y2="%.0f" stroke-width="1.5" stroke-dasharray="%s"/>`, at, at, c.style)
		line(`<text x="480" y="%.0f">%s</text>`, at+4, c.name)
	}
	line(`</svg>`)
	return b.String()
}
