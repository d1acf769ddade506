package gossip

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestReadmeProgramCompiles(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(readme)
	if program == nil {
		t.Fatal("README.md holds no Go program")
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mod := "module readme\n\ngo 1.26\n\nrequire example.com/gossip v0.0.0\n\nreplace example.com/gossip => " + here + "\n"
	for name, text := range map[string][]byte{"main.go": program[1], "go.mod": []byte(mod)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"vet", "."}, {"build", "-o", filepath.Join(dir, "program"), "."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s of the program in README.md: %v\n%s", args[0], err, out)
		}
	}
}

// What the table of symptoms quotes is what a node logs and counts. The tests of package node and
// of sockets show each line.
func TestReadmeQuotesLogLinesAndCounters(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("internal/node/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, b...)
	}
	_, table, _ := strings.Cut(string(readme), "| symptom | line in the log, counter |")
	table, _, _ = strings.Cut(table, "\n\n")
	quoted := 0
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 3 {
			continue
		}
		for _, q := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[2], -1) {
			quoted++
			_, counter := reflect.TypeFor[Stats]().FieldByName(q[1])
			if !counter && !bytes.Contains(source, []byte(`"`+q[1]+`"`)) && !bytes.Contains(source, []byte(`"gossip: `+q[1]+`"`)) {
				t.Errorf("README.md quotes %q, which is neither a line of the log nor a counter", q[1])
			}
		}
	}
	if quoted < 15 {
		t.Errorf("the table of symptoms quotes %d lines and counters", quoted)
	}
}
