package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"example.com/gossip/examples/internal/clitest"
)

// The script of the README prints what the README says, and nothing else.
func TestDemo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the script needs a Unix")
	}
	for _, tool := range []string{"bash", "curl", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the script needs %s: %v", tool, err)
		}
	}
	if err := exec.Command("curl", "--retry-all-errors", "--version").Run(); err != nil {
		t.Skip("the script needs a curl from 2020 or later, with --retry-all-errors")
	}
	ports := freePorts(t, 3)
	var want strings.Builder
	for _, what := range []string{"is CONNECTED", "has hello, replicas"} {
		for _, port := range ports {
			fmt.Fprintln(&want, port, what)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), clitest.Patience)
	defer cancel()
	script := exec.CommandContext(ctx, "bash", append([]string{"demo.sh"}, ports...)...)
	var out, complaints strings.Builder
	script.Stdout, script.Stderr = &out, &complaints
	if err := script.Run(); err != nil || out.String() != want.String() || complaints.Len() > 0 {
		t.Errorf("the script prints, %v,\n%s%s\ninstead of\n%s", err, &out, &complaints, &want)
	}
}

// freePorts returns ports that nobody uses now, neither for TCP nor for UDP.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for tries := 0; len(ports) < n; tries++ {
		if tries == 100*n {
			t.Skip("there are no ports free for both TCP and UDP")
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // until all are found, so that they are different
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			continue
		}
		u.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}
