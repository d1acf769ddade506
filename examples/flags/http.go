package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"example.com/gossip/examples/internal/metrics"
)

// roomWait is how long a request waits while there is no room for its change.
const roomWait = time.Second

// handler serves the replica.
func (r *replica) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /flags", r.answering(r.list))
	mux.HandleFunc("GET /flags/{name}", r.answering(r.get))
	mux.HandleFunc("PUT /flags/{name}", r.answering(r.put))
	mux.HandleFunc("DELETE /flags/{name}", r.answering(r.delete))
	mux.HandleFunc("GET /healthz", r.healthz)
	mux.HandleFunc("GET /readyz", r.readyz)
	mux.HandleFunc("GET /metrics", metrics.Handler(r.metrics))
	return mux
}

// answering passes requests to h once the replica is synced: before, it would say that there
// is no such flag, and whoever asks would take a default that somebody has changed.
func (r *replica) answering(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if name := req.PathValue("name"); name != "" && !validName(name) {
			http.Error(w, fmt.Sprintf("the name of a flag has 1 to %d visible ASCII characters", mostName), http.StatusBadRequest)
			return
		}
		if !r.synced.Load() {
			refuse(w, errUnsynced)
			return
		}
		h(w, req)
	}
}

// refuse answers why a request cannot be served now, or at all.
func refuse(w http.ResponseWriter, err error) {
	code := http.StatusServiceUnavailable
	if errors.Is(err, errTooMany) {
		code = http.StatusInsufficientStorage
	} else {
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, err.Error(), code)
}

func (r *replica) list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(r.store.values())
}

func (r *replica) get(w http.ResponseWriter, req *http.Request) {
	value, ok := r.store.get(req.PathValue("name"))
	if !ok {
		http.Error(w, "no such flag", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, value)
}

func (r *replica) put(w http.ResponseWriter, req *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, req.Body, mostValue))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, fmt.Sprintf("the value of a flag has at most %d bytes", mostValue), http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(w, "the value did not arrive", http.StatusBadRequest)
	case !validValue(string(value)):
		http.Error(w, "the value of a flag is text in UTF-8", http.StatusBadRequest)
	default:
		r.change(w, req, entry{name: req.PathValue("name"), value: string(value)})
	}
}

// delete spreads only the deletion of a flag that is here.
func (r *replica) delete(w http.ResponseWriter, req *http.Request) {
	if _, ok := r.store.get(req.PathValue("name")); !ok {
		http.Error(w, "no such flag", http.StatusNotFound)
		return
	}
	r.change(w, req, entry{name: req.PathValue("name"), deleted: true})
}

func (r *replica) change(w http.ResponseWriter, req *http.Request, e entry) {
	ctx, cancel := context.WithTimeout(req.Context(), roomWait)
	defer cancel()
	if err := r.write(ctx, e); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// healthz answers as long as the process serves, whether it is synced or not: to start it
// again would not help.
func (r *replica) healthz(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// readyz answers 200 to a load balancer that may send requests here. A replica that is cut off
// goes on answering with what it has.
func (r *replica) readyz(w http.ResponseWriter, _ *http.Request) {
	switch {
	case r.ending.Load():
		refuse(w, errors.New("this replica is ending"))
	case !r.synced.Load():
		refuse(w, errUnsynced)
	default:
		fmt.Fprintln(w, "synced")
	}
}
