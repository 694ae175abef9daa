package mux

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Stats are figures of a session.
type Stats struct {
	// Streams is how many are open now, or not yet closed by their user.
	Streams int
	// Promised is how many bytes the other end may have us hold unread, over
	// all streams; at most Config.MaxBuffered.
	Promised int
	// Bytes counts what lanes of each class carried, also those that are gone.
	Bytes map[tunnel.Lane]Traffic
	// PacketsIn and PacketsOut count what was received, and what was written to
	// a lane; PacketsDropped what SendPacket refused or what became too old.
	PacketsIn, PacketsOut, PacketsDropped int64
	// Lanes are those that are up, by class and index.
	Lanes []LaneStats
}

// Traffic is a number of bytes in each direction, with framing.
type Traffic = tunnel.Traffic

// Status is the lane in the words of both ends; remote is where its connection
// comes from or goes to.
func (s LaneStats) Status(remote string) tunnel.LaneStatus {
	return tunnel.LaneStatus{
		Class: s.Class, Index: s.Index, RTT: s.RTT, SmoothedRTT: s.SmoothedRTT, Since: s.Since,
		Streams: s.Streams, BytesIn: s.In, BytesOut: s.Out, RemoteAddr: remote,
	}
}

// LaneStats are figures of one lane.
type LaneStats struct {
	// Class and Index name the lane.
	Class tunnel.Lane
	Index int
	// RTT is the latest round trip, SmoothedRTT its moving mean; 0 while
	// unknown.
	RTT, SmoothedRTT time.Duration
	// Unanswered is how many heartbeats in a row are missing: 0 on a good link,
	// or 1 while one is under way.
	Unanswered int
	// Since is when the lane was attached.
	Since time.Time
	// LastHeard is when the latest byte came, heartbeats included.
	LastHeard time.Time
	// LastUsed is when a stream or packet last used the lane, give or take
	// Config.Ping.
	LastUsed time.Time
	// Streams is how many streams have a direction on the lane.
	Streams int
	// Traffic is what the lane carried.
	Traffic
}

// Stats returns the figures of now.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	st := Stats{Streams: s.table.open}
	lanes, streams := slices.Clone(s.lanes), s.table.all()
	known := map[*Lane]bool{} // lanes whose number will not change any more
	for _, l := range lanes {
		known[l] = l.instance != 0
	}
	s.mu.Unlock()
	st.Promised = s.budget.total()
	st.Bytes = map[tunnel.Lane]Traffic{}
	for class := range classCodes {
		if t := s.traffic.of(class).read(); t != (Traffic{}) {
			st.Bytes[class] = t
		}
	}
	st.PacketsIn, st.PacketsOut = s.packetsIn.Load(), s.packetsOut.Load()
	st.PacketsDropped = s.packetsDropped.Load()
	for _, l := range lanes {
		ls := l.Stats()
		for _, stream := range streams {
			if known[l] && stream.uses(l) {
				ls.Streams++
			}
		}
		st.Lanes = append(st.Lanes, ls)
	}
	slices.SortFunc(st.Lanes, func(a, b LaneStats) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), a.Index-b.Index)
	})
	return st
}

// Stats returns the lane's figures of now, without Streams.
func (l *Lane) Stats() LaneStats {
	s := l.session
	at := func(ns int64) time.Time { return s.epoch.Add(time.Duration(ns)) }
	used := l.lastUsed.Load()
	if l.used.Load() {
		used = s.now()
	}
	return LaneStats{
		Class: l.class, Index: l.index,
		RTT:         time.Duration(l.pulse.rtt.Load()),
		SmoothedRTT: time.Duration(l.pulse.smoothed.Load()),
		Unanswered:  int(l.pulse.unanswered.Load()),
		Since:       l.since, LastHeard: at(l.heard.Load()), LastUsed: at(used),
		Traffic: Traffic{In: l.bytesIn.Load(), Out: l.bytesOut.Load()},
	}
}

// counters count bytes.
type counters struct{ in, out atomic.Int64 }

func (c *counters) read() Traffic { return Traffic{In: c.in.Load(), Out: c.out.Load()} }

// traffic counts by class of lane.
type traffic [4]counters

func (t *traffic) of(class tunnel.Lane) *counters { return &t[classCodes[class]] }
