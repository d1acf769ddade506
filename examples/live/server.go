package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

//go:embed page
var page embed.FS

const (
	mostForm  = 4 << 10         // bytes of a request to a control
	slowWrite = 5 * time.Second // after which a page that does not read is dropped
)

// server is the page and its controls.
type server struct {
	c *cluster
}

// newHandler returns the handler for a cluster. Only the page that it serves itself may use
// the controls: CrossOriginProtection refuses other sites, and local refuses foreign names
// that resolve to this machine.
func newHandler(c *cluster) http.Handler {
	s := server{c}
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /node", control(s.node))
	mux.HandleFunc("POST /send", control(s.send))
	mux.HandleFunc("POST /crash", control(s.crash))
	mux.HandleFunc("POST /restart", control(s.restart))
	mux.HandleFunc("POST /network", control(s.network))
	return local(http.NewCrossOriginProtection().Handler(withHeaders(mux)))
}

// withHeaders sets the headers that every response has.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// local refuses requests to a host that is neither an IP address nor localhost: a foreign
// name that resolves to this machine.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil { // no port: an IPv6 address is in brackets all the same
			host = strings.Trim(r.Host, "[]")
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
			http.Error(w, fmt.Sprintf("%q is not this machine: open the page by its IP address or as localhost", host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// events streams frames until the page is closed or the cluster ends.
func (s server) events(w http.ResponseWriter, r *http.Request) {
	l, err := s.c.listen()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer s.c.forget(l)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case b, more := <-l.frames:
			if !more {
				return
			}
			// If the page is gone, Flush reports it.
			_ = out.SetWriteDeadline(time.Now().Add(slowWrite))
			fmt.Fprintf(w, "data: %s\n\n", b)
			if out.Flush() != nil {
				return
			}
		}
	}
}

// control makes a handler of a function that returns the answer.
func control(f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, mostForm)
		answer, err := any(nil), r.ParseForm()
		if err != nil {
			err = refuse("the form is invalid: %v", err)
		} else {
			answer, err = f(r)
		}
		switch {
		case errors.Is(err, errRefused):
			http.Error(w, err.Error(), http.StatusBadRequest)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer) // fails if the page is gone
		}
	}
}

func (s server) node(r *http.Request) (any, error) {
	node, err := nodeIn(r, "node")
	if err != nil {
		return nil, err
	}
	return s.c.details(node)
}

func (s server) send(r *http.Request) (any, error) {
	from, err := nodeIn(r, "from")
	if err != nil {
		return nil, err
	}
	to, err := nodeIn(r, "to")
	if err != nil {
		return nil, err
	}
	number, err := s.c.send(from, r.PostFormValue("spread"), to)
	return map[string]int{"message": number}, err
}

// crash crashes a node, or a share in percent.
func (s server) crash(r *http.Request) (any, error) {
	if text := r.PostFormValue("share"); text != "" {
		share, err := strconv.Atoi(text)
		if err != nil {
			return nil, refuse("%q is not a share in whole percent", text)
		}
		crashed, err := s.c.crashShare(share)
		return map[string]int{"crashed": crashed}, err
	}
	node, err := nodeIn(r, "node")
	if err != nil {
		return nil, err
	}
	return map[string]int{"crashed": 1}, s.c.crash(node)
}

func (s server) restart(r *http.Request) (any, error) {
	node, err := nodeIn(r, "node")
	if err != nil {
		return nil, err
	}
	restarted, err := s.c.restart(node)
	return map[string]int{"restarted": restarted}, err
}

// network sets any of loss in percent, latency in milliseconds, and parted, in this order. It
// stops at a value that is refused.
func (s server) network(r *http.Request) (any, error) {
	if text := r.PostFormValue("loss"); text != "" {
		loss, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, refuse("%q is not a loss in percent", text)
		}
		if err := s.c.setLoss(loss); err != nil {
			return nil, err
		}
	}
	if text := r.PostFormValue("latency"); text != "" {
		latency, err := strconv.Atoi(text)
		if err != nil || latency < 0 || latency > int(mostLatency/time.Millisecond) {
			return nil, refuse("%q is not a latency: use 0 to %d milliseconds", text, mostLatency/time.Millisecond)
		}
		if err := s.c.setLatency(time.Duration(latency) * time.Millisecond); err != nil {
			return nil, err
		}
	}
	if text := r.PostFormValue("parted"); text != "" {
		parted, err := strconv.ParseBool(text)
		if err != nil {
			return nil, refuse("parted must be true or false, not %q", text)
		}
		if err := s.c.partition(parted); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

// nodeIn reads the number of a node; if it is missing, or "any", the cluster chooses.
func nodeIn(r *http.Request, name string) (int, error) {
	text := r.FormValue(name)
	if text == "" || text == "any" {
		return anyNode, nil
	}
	node, err := strconv.Atoi(text)
	if err != nil || node < 0 {
		return 0, refuse("%s %q is not the number of a node", name, text)
	}
	return node, nil
}
