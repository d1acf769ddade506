// Package metrics serves counts in the text exposition format of Prometheus, version 0.0.4:
// for each family of samples a line HELP, a line TYPE, and a line for each sample.
package metrics

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
)

// Family is what is served under one name.
type Family struct {
	Name    string // of letters, digits and underscores; that of a counter ends in _total
	Help    string // one sentence
	Gauge   bool   // whether the value may fall; otherwise it is a counter
	Samples []Sample
}

// Sample is one value. Within a family, labels differ.
type Sample struct {
	Label, Text string // at most one label, and what it says; no label if empty
	Value       float64
}

// Counter is a family of one value that only grows.
func Counter(name, help string, value uint64) Family {
	return Family{Name: name, Help: help, Samples: []Sample{{Value: float64(value)}}}
}

// Gauge is a family of one value that rises and falls.
func Gauge(name, help string, value float64) Family {
	return Family{Name: name, Help: help, Gauge: true, Samples: []Sample{{Value: value}}}
}

// Handler answers with the families that collect returns at each request.
func Handler(collect func() []Family) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Write(text(collect()))
	}
}

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func text(families []Family) []byte {
	var b bytes.Buffer
	for _, f := range families {
		kind := "counter"
		if f.Gauge {
			kind = "gauge"
		}
		b.WriteString("# HELP " + f.Name + " " + escapeHelp.Replace(f.Help) + "\n# TYPE " + f.Name + " " + kind + "\n")
		for _, s := range f.Samples {
			b.WriteString(f.Name)
			if s.Label != "" {
				b.WriteString("{" + s.Label + `="` + escapeLabel.Replace(s.Text) + `"}`)
			}
			b.WriteString(" " + strconv.FormatFloat(s.Value, 'g', -1, 64) + "\n")
		}
	}
	return b.Bytes()
}
