package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

// target is what a row of the table is held to; 0 is no target.
type target struct {
	t99, t100, worst100 time.Duration
	late                float64 // deliveries after 300 ms per million
	copies              float64
	datagrams, bytes    float64
	busiest             int
}

// row is a case, its name in README.md if it is there, and its target.
type row struct {
	name, readme string
	spreadCase
	target
}

const ms = time.Millisecond

// rows is the table of how messages spread. TestSpreadMeetsItsTargets measures the quick ones,
// BenchmarkSim all.
var rows = []struct {
	quick bool
	row
}{
	{true, row{"N=25", "25 nodes", spreadCase{nodes: 25, messages: 100}, target{t100: 30 * ms, worst100: 40 * ms, copies: 1.02, datagrams: 3.05, bytes: 285, busiest: 20}}},
	{true, row{"N=64", "64 nodes", spreadCase{nodes: 64, messages: 100}, target{t100: 40 * ms, copies: 1.02, datagrams: 3.05, bytes: 285, busiest: 20}}},
	{true, row{"N=256", "256 nodes", spreadCase{nodes: 256, messages: 100}, target{copies: 1.02, datagrams: 3.05, bytes: 285, busiest: 20}}},
	{false, row{"N=256, 100 per s", "256 nodes, 100 messages/s", spreadCase{nodes: 256, messages: 500, every: 10 * ms}, target{datagrams: 2.1}}},
	{false, row{"N=256, 1000 per s", "256 nodes, 1000 messages/s", spreadCase{nodes: 256, messages: 2000, every: ms}, target{datagrams: 1.6}}},
	{true, row{"N=1000", "", spreadCase{nodes: 1000, messages: 10}, target{t99: 60 * ms, t100: 65 * ms, worst100: 80 * ms, copies: 1.02, datagrams: 3.05, bytes: 285, busiest: 20}}},
	{false, row{"N=1000, 100 messages", "1000 nodes", spreadCase{nodes: 1000, messages: 100}, target{t99: 60 * ms, t100: 65 * ms, worst100: 80 * ms, copies: 1.02, datagrams: 3.05, bytes: 285, busiest: 20}}},
	{false, row{"N=1000, loss 5%", "1000 nodes, 5 % loss", spreadCase{nodes: 1000, messages: 100, loss: 0.05}, target{t99: 105 * ms, late: 100, copies: 1.20}}},
	{false, row{"N=1000, loss 20%", "1000 nodes, 20 % loss", spreadCase{nodes: 1000, messages: 100, loss: 0.20}, target{t99: 190 * ms, late: 1500, copies: 1.90}}},
	{false, row{"N=1000, 20% crashed", "1000 nodes, 20 % crash at once", spreadCase{nodes: 1000, messages: 1, crash: 0.2, clusters: 15}, target{t99: 180 * ms}}},
	{false, row{"N=1000, 20% crashed, view 96", "the same, `MaxMembers: 96`", spreadCase{nodes: 1000, messages: 1, crash: 0.2, clusters: 15, partial: true, config: node.Config{MaxMembers: 96}}, target{t99: 250 * ms}}},
	{false, row{"N=10000, view 96", "10,000 nodes, `MaxMembers: 96`", spreadCase{nodes: 10000, messages: 50, partial: true, config: node.Config{MaxMembers: 96}}, target{t99: 85 * ms, t100: 105 * ms, copies: 1.02, datagrams: 3.05, bytes: 285}}},
	{true, row{"N=100, WAN", "100 nodes, 10 to 150 ms apart", spreadCase{nodes: 100, messages: 50, wide: true}, target{copies: 1.2}}},
	{true, row{"N=100, WAN, loss 1%", "the same, 1 % loss", spreadCase{nodes: 100, messages: 50, wide: true, loss: 0.01}, target{copies: 1.3}}},
	{false, row{"N=1000, Random", "1000 nodes, `Random`", spreadCase{nodes: 1000, messages: 30, spread: random}, target{}}},
}

func TestSpreadMeetsItsTargets(t *testing.T) {
	for _, row := range rows {
		if !row.quick {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			if row.nodes > 64 {
				heavy(t)
			}
			t.Parallel()
			row.holds(t, row.run(t, 1))
		})
	}
}

// holds fails unless a result, which is that of seed 1, is the one in README.md and meets the
// target.
func (row row) holds(t testing.TB, r spreadResult) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if line := row.line(r); row.readme != "" && !strings.Contains(string(readme), line) {
		t.Errorf("seed 1: README.md lacks this row, which is measured:\n%s", line)
	}
	for _, miss := range row.misses(r) {
		t.Errorf("seed 1: %s", miss)
	}
	if r.missing > 0 {
		t.Errorf("seed 1: %d deliveries did not happen", r.missing)
	}
}

// line is the row in README.md.
func (row row) line(r spreadResult) string {
	took := func(d time.Duration) string {
		if d < time.Second {
			return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
		}
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %.2g %% | %.2f | %.2f | %.0f |\n", row.readme, took(r.t99), took(r.t100), took(r.worst100),
		r.late/1e4, r.copies, r.datagrams, r.bytes)
}

// misses returns a sentence for each target that is missed.
func (row row) misses(r spreadResult) (all []string) {
	check := func(what string, got, want float64) {
		if want > 0 && got > want {
			all = append(all, fmt.Sprintf("%s: %s is %.4g, the target %.4g", row.name, what, got, want))
		}
	}
	check("ms to 99 % of the nodes", r.t99.Seconds()*1e3, row.t99.Seconds()*1e3)
	check("ms to all nodes", r.t100.Seconds()*1e3, row.t100.Seconds()*1e3)
	check("ms to all nodes, 99th percentile of messages,", r.worst100.Seconds()*1e3, row.worst100.Seconds()*1e3)
	check("deliveries later than 300 ms per million", r.late, row.late)
	check("copies per delivery", r.copies, row.copies)
	check("datagrams per delivery", r.datagrams, row.datagrams)
	check("bytes per delivery", r.bytes, row.bytes)
	check("datagrams of the busiest node", float64(r.busiest), float64(row.busiest))
	return all
}

// BenchmarkSim measures the whole table. Times are virtual and, like the counts, exact: run it
// with -benchtime 1x.
func BenchmarkSim(b *testing.B) {
	for _, row := range rows {
		b.Run(row.name, func(b *testing.B) {
			var r spreadResult
			for i := range b.N {
				r = row.run(b, uint64(i+1))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(r.t99.Seconds()*1e3, "ms-to-99%")
			b.ReportMetric(r.t100.Seconds()*1e3, "ms-to-all")
			b.ReportMetric(r.worst100.Seconds()*1e3, "ms-to-all-p99")
			b.ReportMetric(r.late, "late/M")
			b.ReportMetric(r.copies, "copies/delivery")
			b.ReportMetric(r.datagrams, "datagrams/delivery")
			b.ReportMetric(r.bytes, "bytes/delivery")
			b.ReportMetric(float64(r.busiest), "busiest")
			b.ReportMetric(r.background, "background/s")
			b.Log(row.line(r))
			if b.N == 1 {
				row.holds(b, r)
			}
		})
	}
	for _, row := range wanRows {
		b.Run(row.name, row.bench)
	}
}
