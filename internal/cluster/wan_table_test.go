package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// wanRow is a case, its name in README.md if it is there, and what it is held to; 0 is no
// target.
type wanRow struct {
	name, readme string
	wanCase
	target wanResult
}

// wanRows is the table of how messages spread across regions. TestWANMeetsItsTargets measures
// the quick ones, BenchmarkSim all.
var wanRows = []struct {
	quick bool
	wanRow
}{
	{true, wanRow{"WAN of 3 regions, no Zone", "", wanCase{roundTrips: atlantic, sizes: even(3, 8), messages: 40}, wanResult{t50: 20 * ms, t99: 62 * ms, t100: 42 * ms, home: ms, bytes: 4000}}},
	{true, wanRow{"WAN of 3 regions, Zone", "", wanCase{roundTrips: atlantic, sizes: even(3, 8), messages: 40, zones: true}, wanResult{t50: 12 * ms, t99: 35 * ms, t100: 35 * ms, home: ms, copies: 4.1, bytes: 1500, idle: 1000}}},
	{true, wanRow{"WAN of 3 regions, Zone, loss 5%", "", wanCase{roundTrips: atlantic, sizes: even(3, 8), messages: 100, zones: true, loss: 0.05}, wanResult{t99: 60 * ms, copies: 5.2, bytes: 2500, idle: 1000}}},
	{false, wanRow{"WAN, no Zone", "10 regions of 20 nodes", wanCase{roundTrips: earth, sizes: even(10, 20), messages: 40}, wanResult{t50: 95 * ms, t99: 255 * ms, t100: 280 * ms, home: 1500 * time.Microsecond, bytes: 60e3}}},
	{false, wanRow{"WAN, Zone", "the same, each a `Zone`", wanCase{roundTrips: earth, sizes: even(10, 20), messages: 40, zones: true}, wanResult{t50: 80 * ms, t99: 170 * ms, t100: 145 * ms, home: 1500 * time.Microsecond, copies: 18.1, bytes: 10e3, idle: 10e3}}},
	{false, wanRow{"WAN, no Zone, loss 1%", "10 regions, 1 % loss", wanCase{roundTrips: earth, sizes: even(10, 20), messages: 40, loss: 0.01}, wanResult{t99: 300 * ms, bytes: 65e3}}},
	{false, wanRow{"WAN, Zone, loss 1%", "the same at 1 % loss, each a `Zone`", wanCase{roundTrips: earth, sizes: even(10, 20), messages: 40, zones: true, loss: 0.01}, wanResult{t99: 170 * ms, late100: 190 * ms}}},
	{false, wanRow{"WAN, Zone, 20% crashed", "", wanCase{roundTrips: earth, sizes: even(10, 20), messages: 1, zones: true, crash: 0.2}, wanResult{t99: 380 * ms, t100: 250 * ms}}},
	{false, wanRow{"WAN, Zone, uneven", "", wanCase{roundTrips: earth, sizes: []int{100, 30, 28, 20, 10, 5, 3, 2, 1, 1}, messages: 40, zones: true}, wanResult{t99: 140 * ms, t100: 116 * ms}}},
	{false, wanRow{"WAN, Zone, 50 nodes each", "", wanCase{roundTrips: earth, sizes: even(10, 50), messages: 20, zones: true}, wanResult{t99: 170 * ms, t100: 145 * ms}}},
}

func TestWANMeetsItsTargets(t *testing.T) {
	for _, row := range wanRows {
		if row.quick {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				row.holds(t, row.run(t, 1))
			})
		}
	}
}

// holds fails unless a result, which is that of seed 1, is the one in README.md and meets the
// target.
func (row wanRow) holds(t testing.TB, r wanResult) {
	t.Helper()
	t.Log(row.line(r))
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if line := row.line(r); row.readme != "" && !strings.Contains(string(readme), line) {
		t.Errorf("seed 1: README.md lacks this row, which is measured:\n%s", line)
	}
	for _, x := range []struct {
		what      string
		got, want float64
	}{
		{"ms until half of the deliveries", r.t50.Seconds() * 1e3, row.target.t50.Seconds() * 1e3},
		{"ms until 99 % of the deliveries", r.t99.Seconds() * 1e3, row.target.t99.Seconds() * 1e3},
		{"ms to all nodes", r.t100.Seconds() * 1e3, row.target.t100.Seconds() * 1e3},
		{"ms to all nodes, 95th percentile of messages,", r.late100.Seconds() * 1e3, row.target.late100.Seconds() * 1e3},
		{"ms in the origin's own region", r.home.Seconds() * 1e3, row.target.home.Seconds() * 1e3},
		{"copies between regions", r.copies, row.target.copies},
		{"bytes between regions", r.bytes, row.target.bytes},
		{"bytes between regions in an idle second", r.idle, row.target.idle},
	} {
		if x.want > 0 && x.got > x.want {
			t.Errorf("seed 1: %s: %s is %.4g, the target %.4g", row.name, x.what, x.got, x.want)
		}
	}
	if r.missing > 0 && row.crash == 0 {
		t.Errorf("seed 1: %s: %d deliveries did not happen", row.name, r.missing)
	}
}

// line is the row in README.md.
func (row wanRow) line(r wanResult) string {
	took := func(d time.Duration) string { return fmt.Sprintf("%.0f", d.Seconds()*1e3) }
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %.1f | %.0f | %.1f | %.1f |\n", row.readme,
		took(r.bound), took(r.t50), took(r.t99), took(r.t100), took(r.late100), r.home.Seconds()*1e3, r.copies, r.bytes/1e3, r.idle/1e3)
}

func (row wanRow) bench(b *testing.B) {
	var r wanResult
	for i := range b.N {
		r = row.run(b, uint64(i+1))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(r.bound.Seconds()*1e3, "ms-bound")
	b.ReportMetric(r.t50.Seconds()*1e3, "ms-to-50%")
	b.ReportMetric(r.t99.Seconds()*1e3, "ms-to-99%")
	b.ReportMetric(r.t100.Seconds()*1e3, "ms-to-all")
	b.ReportMetric(r.late100.Seconds()*1e3, "ms-to-all-p95")
	b.ReportMetric(r.home.Seconds()*1e3, "ms-own-region")
	b.ReportMetric(r.copies, "copies-between-regions")
	b.ReportMetric(r.bytes, "bytes-between-regions")
	b.ReportMetric(r.idle, "idle-bytes-between-regions/s")
	if b.N == 1 {
		row.holds(b, r)
	}
}
