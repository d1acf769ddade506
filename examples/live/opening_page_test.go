//go:build linux || darwin

package main

import "testing"

func TestPageSaysThatNodesAreJoining(t *testing.T) {
	b := startChrome(t)
	c := newCluster(quick(20))
	release := hold(t, c)
	launch(t, c)
	b.open(serveTest(t, c).URL)
	b.await("one node has not joined", says("summary", `^Still joining: 19 of 20 nodes\.$`))
	b.press("m")
	b.await("a message is sent all the same", says("summary", `^Still joining: 19 of 20 nodes\. Message 1 has reached 19\.$`))
	b.await("its curve is left out", says("chart-text", "^Message 1 has no curve: nodes were joining$"))
	release()
	b.await("the message reaches the last node", says("summary", `^Message 1, sent while nodes were joining, has reached 20 of 20 nodes\.$`))
	b.await("the table leaves its times out", says("messages", "20 / 20–––"))
	awaitFrame(t, c, "the cluster has settled", func(f frame) bool { return f.Settings.Settled })
	b.press("m")
	b.await("the next message has a curve", says("chart-text", "^Message 2 has reached 20 of 20 nodes, 50 % after"))
}

func TestPageOpensWithAMessage(t *testing.T) {
	b := startChrome(t)
	o := quick(20)
	o.greets = true
	c := newCluster(o)
	launch(t, c)
	b.open(serveTest(t, c).URL)
	b.await("a message spreads by itself", says("summary", `^Message 1 reached 20 of 20 nodes in [0-9.]+ m?s, [0-9.]+ copies each\.$`))
	b.await("the chart shows its curve", says("chart-text", "^Message 1 has reached 20 of 20 nodes"))
}
