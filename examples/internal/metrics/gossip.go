package metrics

import (
	"reflect"
	"strings"
	"unicode"

	"example.com/gossip"
)

// Gossip returns the counts of a node.
func Gossip(node *gossip.GossipService) []Family {
	connected := 0.0
	if node.State() == gossip.StateConnected {
		connected = 1
	}
	return append(stats(node.Stats()), Gauge("gossip_connected", "Whether the node is CONNECTED.", connected))
}

// stats returns all fields of s.
func stats(s gossip.Stats) []Family {
	return []Family{
		Counter("gossip_received_datagrams_total", "Datagrams received.", s.DatagramsIn),
		Counter("gossip_sent_datagrams_total", "Datagrams sent.", s.DatagramsOut),
		Counter("gossip_received_bytes_total", "Bytes received, without IP and UDP headers.", s.BytesIn),
		Counter("gossip_sent_bytes_total", "Bytes sent, without IP and UDP headers.", s.BytesOut),
		Counter("gossip_received_messages_total", "Messages received, of all types.", s.MessagesIn),
		Counter("gossip_sent_messages_total", "Messages sent, of all types.", s.MessagesOut),
		Counter("gossip_retries_total", "Messages sent again.", s.Retries),
		Counter("gossip_accepted_total", "Messages accepted by SendData.", s.Sent),
		Counter("gossip_delivered_total", "Messages given to the receiver.", s.Delivered),
		Counter("gossip_repaired_total", "Messages given to the receiver that came by repair.", s.Repaired),
		Counter("gossip_duplicates_total", "Copies of messages that were here already, or are the node's own.", s.Duplicate),
		Counter("gossip_relayed_total", "Copies passed on for other nodes.", s.Relayed),
		Counter("gossip_evicted_total", "Messages that left the log, or did not enter it.", s.Evicted),
		{Name: "gossip_drops_total", Help: "What was dropped or not sent, by its cause: the fields of gossip.Stats that begin with Drop.", Samples: drops(s)},
		Counter("gossip_given_up_total", "Messages unanswered after the last attempt, Hellos among them.", s.GivenUp),
		Counter("gossip_unheard_total", "Own messages given up for want of members.", s.Unheard),
		Counter("gossip_missed_total", "Messages of others missed for good.", s.GaveUpUnseen),
		Counter("gossip_send_errors_total", "Errors of the operating system on sending.", s.SendErrors),
		Counter("gossip_receive_errors_total", "Errors of the operating system on receiving.", s.ReceiveErrors),
		Counter("gossip_members_lost_total", "Members considered lost.", s.MembersLost),
		Counter("gossip_members_again_total", "Lost members that sent a datagram again.", s.MembersAgain),
		Gauge("gossip_members", "Members in the view.", float64(s.Members)),
		Gauge("gossip_lost", "Lost members that are probed.", float64(s.Lost)),
		Gauge("gossip_queued_control", "Control messages that wait to be sent or answered.", float64(s.QueuedControl)),
		Gauge("gossip_queued_data", "Data that waits to be sent or answered.", float64(s.QueuedData)),
		Gauge("gossip_origins", "Nodes whose messages are known.", float64(s.Origins)),
		Gauge("gossip_history_missed", "Messages sent before the node was connected that it does not have.", float64(s.HistoryMissed)),
		Gauge("gossip_retained_messages", "Messages in the log.", float64(s.Retained)),
		Gauge("gossip_retained_bytes", "Bytes in the log.", float64(s.RetainedBytes)),
		Gauge("gossip_pending_acks", "Acknowledgements to send.", float64(s.AcksPending)),
		Gauge("gossip_pending_calls", "Calls of the receiver and of other callbacks to make.", float64(s.Arrived)),
	}
}

// drops returns a sample for each field that begins with Drop, labelled with the rest of its
// name.
func drops(s gossip.Stats) (samples []Sample) {
	for field, value := range reflect.ValueOf(s).Fields() {
		if cause, ok := strings.CutPrefix(field.Name, "Drop"); ok {
			samples = append(samples, Sample{"cause", snake(cause), float64(value.Uint())})
		}
	}
	return samples
}

// snake returns a name of Go in lower case, with an underscore between words.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
