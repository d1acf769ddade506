// Package web holds what the example services share of HTTP: a server with bounds, and its
// end.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"example.com/gossip/examples/internal/cli"
)

const (
	// mostConns bounds the HTTP connections; further ones, even probes of /healthz, wait until
	// one ends. So none may stay open for long without a request.
	mostConns = 512

	grace = 5 * time.Second // for requests in progress at shutdown
)

// NewServer returns a server that slow or idle clients cannot keep busy: a connection
// without a request is closed after 2 seconds.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 2 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       2 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// Shutdown stops accepting requests and waits for those in progress, for at most 5 seconds.
func Shutdown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}

// Listen opens the port that a flag -http names, for at most 512 connections at a time.
func Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	var notOne *net.AddrError
	switch {
	case errors.As(err, &notOne):
		return nil, cli.Usage("-http %q is not an address such as 127.0.0.1:8080: %w", address, err)
	case err != nil:
		return nil, fmt.Errorf("cannot serve HTTP on %s, choose another address with -http: %w", address, err)
	}
	return limit(l, mostConns), nil
}

// limit returns a listener that has at most most connections at a time.
func limit(l net.Listener, most int) net.Listener {
	return limited{l, make(chan struct{}, most)}
}

type limited struct {
	net.Listener
	taken chan struct{}
}

func (l limited) Accept() (net.Conn, error) {
	l.taken <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.taken
		return nil, err
	}
	return limitedConn{c, sync.OnceFunc(func() { <-l.taken })}, nil
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
