package gossip

import (
	"log/slog"
	"time"

	"example.com/gossip/internal/pace"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/wire"
)

const (
	newsPause  = 100 * time.Millisecond  // between two announcements of new members
	newsLasts  = 1500 * time.Millisecond // after the last news, what was seen is compared more rarely
	healing    = 3 * time.Second         // after a lost member came back, the others are asked more often
	growing    = 8 * time.Second         // after the last new member, more are exchanged, more often
	mostProbes = 64                      // Hellos to doubtful addresses in a TickInterval
	trimEvery  = 16                      // exchanges of an idle node
	longProbe  = 4 * time.Second         // between two rounds of Hellos of a node that is alone
)

// upkeep is what a node does by the clock alone, and what it remembers for that.
type upkeep struct {
	pace.Plan
	news, healed repair.News   // to be offered
	turn         int           // of the exchange
	recent       bool          // of the comparison: the last was of what was seen lately
	round        int           // of a node that is alone
	probes       int           // Hellos to doubtful addresses that are left
	grewAt       time.Duration // when hearsay last brought a member
	backAt       time.Duration // when a lost member was last heard again
	offeredAt    time.Duration // when offer was last done
	healAt       time.Duration // and heal
}

// keepUp does the duties whose time has come.
func (g *GossipService) keepUp(now time.Duration) {
	u, c := &g.upkeep, &g.config
	if g.unheard > 0 && g.roster.Len() > 0 {
		g.sayAgain(now)
	}
	fast := now-g.newsAt < newsLasts
	pause, most := c.TickInterval, exchanged
	if now-u.grewAt < growing {
		pause, most = g.comparePause(), g.room/wire.MinMemberSize
	}
	if u.Exchange.Due(now, pause, g.rng) {
		if !fast && u.turn%trimEvery == 0 {
			g.outbox.Trim()
			g.body = nil
		}
		u.probes = mostProbes
		g.awake += min(now-g.lookedAt, 2*c.TickInterval)
		g.lookedAt = now
		g.askForMissing(now)
		g.giveUpStuck()
		u.turn++
		if m := g.roster.Partner(u.turn, g.rng); m != nil {
			g.exchange(m, most)
			g.meetNeighbours()
			if !fast {
				g.compare(now, m)
			}
		}
	}
	if u.Compare.Due(now, g.comparePause(), g.rng) {
		if !fast {
			u.Compare.Stop()
		} else if m := g.anybody(now); m != nil {
			g.compare(now, m)
		}
	}
	if u.Announce.Due(now, newsPause, g.rng) {
		g.announce(now)
	}
	if u.Offer.Due(now, pace.Never, g.rng) {
		g.offer(now)
	}
	if u.Heal.Due(now, pace.Never, g.rng) {
		g.heal(now)
	}
	if g.state == StateJoining && g.outbox.Stats().Hellos == 0 {
		g.inform(slog.LevelWarn, "gossip: no seed answers", "seeds", g.roster.Seeds())
		g.disconnect(now)
	}
	pause = c.TickInterval
	if now-u.backAt < healing {
		pause /= 10
	}
	if g.state == StateDisconnected {
		pause = min(pause<<min(u.round, 8), longProbe)
	}
	if u.Probe.Due(now, pause, g.rng) && g.state != StateJoining {
		u.round++
		g.probeContacts(now)
	}
}
