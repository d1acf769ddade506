package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"example.com/gossip"
)

// mostConns bounds the HTTP connections; more wait until one ends, a probe of /healthz
// too. So none may stay for long without a request.
const mostConns = 512

// newServer returns a server that nobody can keep busy by being slow or idle: a
// connection without a request ends after 2 seconds.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
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

// handler serves the replica.
func (r *replica) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cache/{key}", keyed(r.get))
	mux.HandleFunc("PUT /cache/{key}", keyed(r.put))
	mux.HandleFunc("DELETE /cache/{key}", keyed(r.delete))
	mux.HandleFunc("GET /healthz", r.healthz)
	mux.HandleFunc("GET /readyz", r.readyz)
	mux.HandleFunc("GET /debug/vars", r.debugVars)
	return mux
}

// keyed hands requests with a key to h.
func keyed(h func(w http.ResponseWriter, req *http.Request, key string)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		key := req.PathValue("key")
		if !validKey(key) {
			http.Error(w, fmt.Sprintf("a key has 1 to %d visible ASCII characters", mostKey), http.StatusBadRequest)
			return
		}
		h(w, req, key)
	}
}

func (r *replica) get(w http.ResponseWriter, _ *http.Request, key string) {
	value, ok := r.store.get(time.Now(), key)
	if !ok {
		http.Error(w, "not here", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(value)
}

// put takes a value that, with its key, fits one message.
func (r *replica) put(w http.ResponseWriter, req *http.Request, key string) {
	most := r.node.MaxPayload() - writeHeader - len(key)
	value, err := io.ReadAll(http.MaxBytesReader(w, req.Body, int64(most)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, fmt.Sprintf("a value of this key has at most %d bytes", most), http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(w, "the value did not arrive", http.StatusBadRequest)
	default:
		r.change(w, write{key: key, value: value})
	}
}

// delete spreads a deletion also of what is not here, for it may be elsewhere.
func (r *replica) delete(w http.ResponseWriter, _ *http.Request, key string) {
	r.change(w, write{key: key, deleted: true})
}

// change answers 503 when the node does not take the write now: its queue is full, or
// it has not joined yet, or is about to end; or while its clock is behind what it has seen.
func (r *replica) change(w http.ResponseWriter, change write) {
	if err := r.tell(change); err != nil {
		why := "not now"
		if errors.Is(err, gossip.ErrQueueFull) {
			why = "too many writes at once"
		}
		w.Header().Set("Retry-After", "1")
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *replica) healthz(w http.ResponseWriter, _ *http.Request) {
	if !r.alive(time.Now()) {
		http.Error(w, "the gossip loop is stuck", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// readyz is also true for a first replica on its own.
func (r *replica) readyz(w http.ResponseWriter, _ *http.Request) {
	state := r.node.State()
	if state != gossip.StateConnected {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, state)
}

// debugVars is expvar.Handler for the variables of this replica.
func (r *replica) debugVars(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, r.vars.String())
}

// limit returns a listener that has at most so many connections at a time.
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
