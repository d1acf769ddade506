package clitest

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The text exposition format of Prometheus, version 0.0.4, as far as the examples use it.
var (
	help   = regexp.MustCompile(`^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\]|\\\\|\\n)+)$`)
	kind   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)$`)
	sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_][a-zA-Z0-9_]*="(?:[^\\"]|\\\\|\\n|\\")*"\})? (\S+)$`)
)

// Exposition fails the test unless text follows the grammar of the format and its
// conventions: HELP, TYPE and the samples of each family stand together, once; the name of a
// counter ends in _total, that of a gauge does not; and no counter is below 0. It returns the
// samples, by name and label.
func Exposition(t *testing.T, text string) map[string]float64 {
	t.Helper()
	samples, known := map[string]float64{}, map[string]bool{}
	family, counter, state := "", false, "sample" // of the line before
	if text != "" && !strings.HasSuffix(text, "\n") {
		t.Errorf("the last line does not end: %q", text[max(0, len(text)-80):])
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := help.FindStringSubmatch(line); m != nil && state == "sample" && !known[m[1]] {
			family, state, known[m[1]] = m[1], "help", true
		} else if m := kind.FindStringSubmatch(line); m != nil && state == "help" && m[1] == family {
			state, counter = "type", m[2] == "counter"
			if counter != strings.HasSuffix(family, "_total") {
				t.Errorf("%q is no name for a %s", family, m[2])
			}
		} else if m := sample.FindStringSubmatch(line); m != nil && state != "help" && m[1] == family {
			state = "sample"
			value, err := strconv.ParseFloat(m[3], 64)
			if _, twice := samples[m[1]+m[2]]; err != nil || twice || counter && !(value >= 0) {
				t.Errorf("sample %q is no number, there twice, or a counter below 0", line)
			}
			samples[m[1]+m[2]] = value
		} else {
			t.Errorf("line %q does not follow a %s of %q", line, state, family)
		}
	}
	if state != "sample" {
		t.Errorf("%q has no sample", family)
	}
	return samples
}
