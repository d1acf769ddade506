package main

import (
	"errors"
	"expvar"
	"fmt"
	"io"
	"net/http"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/metrics"
)

// handler serves the replica.
func (r *replica) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cache/{key}", keyed(r.get))
	mux.HandleFunc("PUT /cache/{key}", keyed(r.put))
	mux.HandleFunc("DELETE /cache/{key}", keyed(r.delete))
	mux.HandleFunc("GET /healthz", r.healthz)
	mux.HandleFunc("GET /readyz", r.readyz)
	mux.HandleFunc("GET /metrics", metrics.Handler(r.metrics))
	mux.HandleFunc("GET /debug/vars", r.debugVars)
	return mux
}

// keyed passes requests with a valid key to h.
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
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(value)
}

// put accepts a value that, with its key, fits in one message.
func (r *replica) put(w http.ResponseWriter, req *http.Request, key string) {
	most := r.node.MaxPayload() - writeHeader - len(key)
	value, err := io.ReadAll(http.MaxBytesReader(w, req.Body, int64(most)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, fmt.Sprintf("a value for this key has at most %d bytes", most), http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(w, "the value did not arrive", http.StatusBadRequest)
	default:
		r.change(w, write{key: key, value: value})
	}
}

// delete spreads the deletion even of a key that is not here, for it may be elsewhere.
func (r *replica) delete(w http.ResponseWriter, _ *http.Request, key string) {
	r.change(w, write{key: key, deleted: true})
}

// change answers 503 when the write cannot be accepted now: the queue of the node is full,
// the node has not joined yet or is shutting down, or the clock was set back.
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

// readyz also answers 200 for a first replica on its own.
func (r *replica) readyz(w http.ResponseWriter, _ *http.Request) {
	state := r.node.State()
	if state != gossip.StateConnected {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, state)
}

// metrics returns the counters of the cache and of its node.
func (r *replica) metrics() []metrics.Family {
	s := r.store
	count := func(n *expvar.Int) uint64 { return uint64(n.Value()) }
	return append(metrics.Gossip(r.node),
		metrics.Gauge("cache_entries", "Writes held, deletions included.", float64(s.len())),
		metrics.Counter("cache_hits_total", "Requests for a key with a value.", count(&s.hits)),
		metrics.Counter("cache_misses_total", "Requests for a key without a value.", count(&s.misses)),
		metrics.Counter("cache_taken_total", "Writes taken, own ones included.", count(&s.taken)),
		metrics.Counter("cache_older_total", "Writes not taken: a newer one was here, or they were too old.", count(&s.older)),
		metrics.Counter("cache_refused_total", "Messages that are not writes, or too far ahead.", count(&s.refused)),
		metrics.Counter("cache_evicted_total", "Writes that made room.", count(&s.evicted)),
	)
}

// debugVars is expvar.Handler for the variables of this replica.
func (r *replica) debugVars(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, r.vars.String())
}
