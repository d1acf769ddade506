package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/gossip/examples/internal/clitest"
)

// process starts a program that the test ends with, and returns what waits for its end.
func process(t *testing.T, cmd *exec.Cmd) (wait func() (code int)) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	ended := make(chan bool)
	go func() { cmd.Wait(); close(ended) }()
	return func() int {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(clitest.Patience):
			t.Fatalf("%s does not end", cmd)
		}
		return cmd.ProcessState.ExitCode()
	}
}

// The programs as they are run by hand:
//
//	printf 'a\nb\n' | gossipcat -seed ... -k | head -n 1
//
// beside one that listens, says something now and then, and is ended by a signal.
func TestThePipe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted by another one here")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("no go command to build the program with: %v", err)
	}
	bin := filepath.Join(t.TempDir(), "gossipcat")
	if out, err := exec.Command(tool, "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("the program does not build: %v\n%s", err, out)
	}

	var heard, said, printed, problems clitest.Output
	ann := exec.Command(bin, loopback, "-status", "-k")
	stdin, say := keyboard(t)
	ann.Stdin, ann.Stdout, ann.Stderr = stdin, &heard, &said
	annEnds := process(t, ann)
	addr := said.Find(t, `listens on (127\.0\.0\.1:\d+)\n`)

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	bob, head := exec.Command(bin, loopback, "-seed", addr, "-k"), exec.Command("head", "-n", "1")
	bob.Stdin, bob.Stdout, bob.Stderr = strings.NewReader("a\nb\n"), w, &problems
	head.Stdin, head.Stdout = r, &printed
	bobEnds, headEnds := process(t, bob), process(t, head)
	for _, end := range []io.Closer{r, w} { // they have their own
		end.Close()
	}
	id := heard.Find(t, `([0-9a-f]{16})\ta\n`)
	heard.Find(t, id+`\tb\n`)
	said.Find(t, `CONNECTED, 1 members, 0 sent, 2 received, 0 waiting\n`)
	say("first")
	headEnds()
	printed.Find(t, `^[0-9a-f]{16}\tfirst\n$`)
	say("second") // which nobody reads
	if code := bobEnds(); code != codeUnread || problems.String() != "" {
		t.Errorf("when nobody reads its output a cat ends with code %d, and says %q", code, &problems)
	}
	said.Find(t, `CONNECTED, 0 members, 2 sent, 2 received, 0 waiting\n`)

	ann.Process.Signal(os.Interrupt)
	stdin.(io.Closer).Close() // what copies it to the process must end too
	if code := annEnds(); code != 0 {
		t.Errorf("an interrupt ends a cat with code %d\n%s", code, &said)
	}
}
