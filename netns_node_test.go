//go:build linux

package gossip

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// runHost is the program of a host. It does what its console says: "ip ..." at any time;
// "start" with its address and those of seeds; then "send" with a text, and "quit". It prints
// what it receives and each change of state and members.
func runHost(t *testing.T) {
	console := bufio.NewScanner(os.Stdin)
	var seeds []Address
	for len(seeds) == 0 && console.Scan() {
		verb, args, _ := strings.Cut(console.Text(), " ")
		if verb == "ip" {
			runIP(t, args)
			continue
		}
		for text := range strings.FieldsSeq(args) {
			a, err := ParseAddress(text)
			if err != nil {
				t.Fatal(err)
			}
			seeds = append(seeds, a)
		}
	}
	if len(seeds) == 0 {
		t.Fatal("the console ends before the node was started")
	}
	receive := func(_ NodeID, payload []byte) { fmt.Printf("received %s\n", payload) }
	node, err := New(seeds[0], receive, Config{
		Keys:          [][]byte{testKey('h')},
		OnStateChange: func(_, new State) { fmt.Println("state", new) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	fmt.Println("id", node.ID())

	commands := make(chan string, 64)
	go func() {
		for console.Scan() {
			commands <- console.Text()
			node.Wake()
		}
		fmt.Println("the console ends before quit")
		os.Exit(1)
	}()
	known := ""
	for err = node.Join(seeds...); err == nil; {
		for err == nil && len(commands) > 0 {
			switch verb, args, _ := strings.Cut(<-commands, " "); verb {
			case "ip":
				runIP(t, args)
			case "send":
				err = node.SendData([]byte(args))
			case "quit":
				if err := node.Leave(); err != nil {
					t.Fatal(err)
				}
				for sent := 1; sent > 0 && err == nil; {
					sent, err = node.Send() // the goodbyes
				}
				if err != nil {
					t.Fatal(err)
				}
				return
			default:
				t.Fatalf("the console says %q", verb)
			}
		}
		wait := time.Duration(0)
		if err == nil {
			wait, err = node.Tick()
		}
		if err == nil {
			_, err = node.Send()
		}
		if err == nil {
			_, err = node.Receive(wait)
		}
		now := "members"
		for _, m := range node.Members() {
			now += " " + m.ID.String()
		}
		if now != known {
			known = now
			fmt.Println(now)
		}
	}
	t.Fatal(err)
}

// runIP changes the network of this process, and prints that it did.
func runIP(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	fmt.Println("did ip", args)
}

// machine is one process of a host as the switch sees it.
type machine struct {
	number  int
	addr    string
	wire    string // the end at the switch
	cmd     *exec.Cmd
	console io.Writer
	ended   chan error
	ending  bool // by quit or kill

	mu      sync.Mutex
	printed bytes.Buffer
}

// Write takes what the process prints.
func (h *machine) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.printed.Write(b)
}

func (h *machine) lines() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := strings.Split(h.printed.String(), "\n")
	return all[:len(all)-1] // without a line that goes on
}

// last returns the rest of the last line that begins with a word.
func (h *machine) last(word string) string {
	for _, line := range slices.Backward(h.lines()) {
		if first, rest, _ := strings.Cut(line, " "); first == word {
			return rest
		}
	}
	return ""
}

func (h *machine) times(text string) (n int) {
	for _, line := range h.lines() {
		if line == "received "+text {
			n++
		}
	}
	return n
}
