package main

import (
	"maps"
	"math"
	"time"
)

// frame is what a listener gets: everything, with Reset, or what changed since the frame
// before. Times are in milliseconds since the start of the cluster, places on the ring are
// fractions of it.
type frame struct {
	Reset    bool          `json:"reset,omitempty"`
	Time     float64       `json:"time"`
	Settings *settingsView `json:"settings,omitempty"`
	Nodes    []nodeView    `json:"nodes,omitempty"`
	Messages []messageView `json:"messages,omitempty"`
	Copies   []copyView    `json:"copies,omitempty"`
	Got      []gotView     `json:"got,omitempty"`
	Traffic  *traffic      `json:"traffic,omitempty"`
}

type settingsView struct {
	Real    bool    `json:"real"`
	Nodes   int     `json:"nodes"`
	Loss    float64 `json:"loss"`    // percent
	Latency float64 `json:"latency"` // ms, one way
	Parted  bool    `json:"parted"`
	Settled bool    `json:"settled"` // all nodes have joined, and their traffic has settled
}

type nodeView struct {
	Node  int     `json:"node"`
	State string  `json:"state"`
	Ring  float64 `json:"ring"`
}

// messageView sums up the progress of a message. Half, Most and All are how long it took to
// reach 50, 99 and 100 % of the nodes, 0 while it has not. Datagrams counts those that carry,
// acknowledge or offer the message, and Bytes theirs with IP and UDP headers; one that serves
// two messages counts for each.
type messageView struct {
	Message   int     `json:"message"`
	From      int     `json:"from"`
	To        int     `json:"to"` // of a Direct message, else anyNode
	Spread    string  `json:"spread"`
	Said      float64 `json:"said"`
	Early     bool    `json:"early"`   // sent to all before the cluster had settled
	Reached   int     `json:"reached"` // running nodes that have it, including the origin
	Of        int     `json:"of"`      // nodes that should get it
	Delivered int     `json:"delivered"`
	Half      float64 `json:"half"`
	Most      float64 `json:"most"`
	All       float64 `json:"all"`
	Copies    int     `json:"copies"`
	Datagrams int     `json:"datagrams"`
	Bytes     int     `json:"bytes"`
}

// copyView is a copy of a message on its way. Lo and Hi are the arc of the ring that its
// recipient must cover, and are equal if there is none. Hop is 0 for a copy sent by repair.
type copyView struct {
	Message int     `json:"message"`
	From    int     `json:"from"`
	To      int     `json:"to"`
	Hop     int     `json:"hop"`
	Lo      float64 `json:"lo"`
	Hi      float64 `json:"hi"`
	Sent    float64 `json:"sent"`
	At      float64 `json:"at"`
	Fate    fate    `json:"fate"`
}

// gotView says that a message was delivered to a node.
type gotView struct {
	Message int     `json:"message"`
	Node    int     `json:"node"`
	At      float64 `json:"at"`
}

// traffic counts what all nodes together have sent since the start.
type traffic struct {
	Datagrams int            `json:"datagrams"`
	Bytes     int            `json:"bytes"` // with IP and UDP headers
	Lost      int            `json:"lost"`  // datagrams, whatever the reason
	Delivered int            `json:"delivered"`
	Messages  map[string]int `json:"messages"` // of the protocol, by their type
}

// take returns what has changed since it was last called.
func (t *trace) take() frame {
	f := frame{Time: ms(t.c.now()), Copies: t.copies, Got: t.gots}
	if t.settings {
		f.Settings = t.viewSettings()
	}
	for _, n := range t.c.nodes {
		if t.nodes[n] {
			f.Nodes = append(f.Nodes, n.view())
		}
	}
	for _, m := range t.messages {
		if t.changes[m] {
			f.Messages = append(f.Messages, t.viewMessage(m))
		}
	}
	if now := t.c.now(); now >= t.trafficAt+trafficPace {
		t.trafficAt = now
		f.Traffic = t.viewTraffic()
	}
	clear(t.nodes)
	clear(t.changes)
	t.copies, t.gots, t.settings = nil, nil, false
	return f
}

// snapshot returns everything, for a listener that is new or behind.
func (t *trace) snapshot() frame {
	f := frame{Reset: true, Time: ms(t.c.now()), Settings: t.viewSettings(), Traffic: t.viewTraffic()}
	for _, n := range t.c.nodes {
		if n.state != notStarted {
			f.Nodes = append(f.Nodes, n.view())
		}
	}
	for _, m := range t.messages {
		f.Messages = append(f.Messages, t.viewMessage(m))
		f.Copies = append(f.Copies, m.copies...)
		for n, at := range m.got {
			f.Got = append(f.Got, gotView{m.number, n.index, ms(at)})
		}
	}
	return f
}

func (t *trace) viewSettings() *settingsView {
	return &settingsView{
		Real: t.c.real, Nodes: len(t.c.nodes), Loss: t.c.net.loss * 100,
		Latency: ms(t.c.net.latency), Parted: t.c.parted, Settled: t.c.settled,
	}
}

func (t *trace) viewMessage(m *message) messageView {
	v := m.view
	v.Reached, v.Of = len(m.got), t.audience(m)
	return v
}

// viewTraffic returns a copy that no longer changes.
func (t *trace) viewTraffic() *traffic {
	now := t.traffic
	now.Messages = maps.Clone(now.Messages)
	return &now
}

func (n *node) view() nodeView {
	return nodeView{n.index, n.state, math.Round(n.ring()*1e6) / 1e6}
}

func ms(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
