package web

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"example.com/gossip/examples/internal/clitest"
)

func TestConnectionsAreBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const most = 2
	bounded := limit(l, most)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := bounded.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var first net.Conn
	for n := range most + 1 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if n < most {
			first = <-accepted
			defer first.Close()
		}
	}
	if taken := len(bounded.(limited).taken); taken != most {
		t.Fatalf("%d connections of %d at most are accepted", taken, most)
	}
	select {
	case <-accepted:
		t.Fatalf("a connection is accepted beside %d others, which is the bound", most)
	default:
	}
	first.Close()
	first.Close() // and a second one frees nothing
	select {
	case c := <-accepted:
		defer c.Close()
	case <-time.After(clitest.Patience):
		t.Fatal("a connection that ends makes no room for another one")
	}
	clitest.Until(t, func() string { return fmt.Sprintf("%d connections are accepted again", most) },
		func() bool { return len(bounded.(limited).taken) == most })
}

// pipes is a listener whose connections are in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Times are those of the bubble, so they are exact.
func TestIdleConnectionsMakeRoomForAProbe(t *testing.T) {
	for _, used := range []bool{true, false} { // before they are idle
		synctest.Test(t, func(t *testing.T) {
			const most, soon = 8, 2 * time.Second
			l := make(pipes)
			server := NewServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
			go server.Serve(limit(l, most))
			defer server.Close()

			began := time.Now()
			for n := range most + 1 {
				c, served := net.Pipe()
				defer c.Close()
				l <- served // accepted, as soon as there is room
				if !used && n < most {
					continue
				}
				fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: cache\r\n\r\n")
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatalf("request %d gets no answer: %v", n, err)
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			if d := time.Since(began); d > soon {
				t.Errorf("%d idle connections, used %v, keep a probe waiting for %v", most, used, d)
			}
		})
	}
}
