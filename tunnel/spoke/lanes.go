package spoke

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/quiet"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/brake"
	"github.com/kedge-io/kedge/tunnel/mux"
	"github.com/kedge-io/kedge/tunnel/transport"
)

const (
	// bulkIdle is after how long without a byte of a stream a bulk lane is
	// closed: it costs memory and heartbeats.
	bulkIdle = 2 * time.Minute
	// idleCheck is how often that is looked at.
	idleCheck = 15 * time.Second
	// laneTimeout bounds the making of a lane.
	laneTimeout = 15 * time.Second
)

// lanes keeps the lanes of one session: interactive always, relay where the
// node takes packets, bulk while somebody wants it. Each is replaced alone.
type lanes struct {
	mux   *mux.Session
	brake *brake.Brake
	dial  func(ctx context.Context, class tunnel.Lane, index int) (net.Conn, error)
	log   *slog.Logger
	news  *quiet.Log
	// bulkIdle and idleCheck are the constants, shorter in tests.
	bulkIdle, idleCheck time.Duration

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	over bool
	kept map[laneKey]*laneConn // nil while the lane is not up
}

type laneKey struct {
	class tunnel.Lane
	index int
}

// laneConn is the connection of a lane; the mux closes it when the lane ends.
type laneConn struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
}

// NetConn returns the connection below.
func (c *laneConn) NetConn() net.Conn { return c.Conn }

// Close implements net.Conn.
func (c *laneConn) Close() error {
	c.once.Do(func() { close(c.ended) })
	return c.Conn.Close()
}

// newLanes opens the lanes of a session that the hub gave a grant for.
func (s *Spoke) newLanes(peer transport.Hello, grant *transport.Grant, tickets tls.ClientSessionCache) *lanes {
	k := makeLanes(s.log)
	k.dial = func(ctx context.Context, class tunnel.Lane, index int) (net.Conn, error) {
		cfg, err := s.dialConfig(tickets)
		if err != nil {
			return nil, err
		}
		return transport.DialLane(ctx, cfg, grant, class, index)
	}
	cfg := s.cfg.Lanes
	cfg.Dial = func(ctx context.Context, t tunnel.Target) (net.Conn, error) { return s.answer(ctx, t, k) }
	cfg.Packet = s.cfg.Packet
	cfg.WantLane = k.want
	cfg.LaneDown = k.down
	k.mux = mux.New(true, cfg)
	k.keep(laneKey{class: tunnel.LaneInteractive})
	if s.cfg.Packet != nil && peer.Has(transport.CapabilityRelay) {
		k.keep(laneKey{class: tunnel.LaneRelay})
	}
	return k
}

func makeLanes(log *slog.Logger) *lanes {
	k := &lanes{
		brake: brake.New(), log: log, news: quiet.New(time.Now), kept: map[laneKey]*laneConn{},
		bulkIdle: bulkIdle, idleCheck: idleCheck,
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

// close ends lanes and streams and waits until all are gone.
func (k *lanes) close(reason error) {
	k.mu.Lock()
	k.over = true
	k.mu.Unlock()
	k.cancel()
	k.mux.Close(reason)
	<-k.mux.Done()
	k.wg.Wait()
}

// want opens one more lane of a class, if the session may have more. Only bulk
// lanes come on demand; the others are kept anyway.
func (k *lanes) want(class tunnel.Lane) {
	if class != tunnel.LaneBulk {
		return
	}
	for index := range class.Max() {
		if k.keep(laneKey{class, index}) {
			return
		}
	}
}

// keep holds a lane until the session ends or, for bulk, nobody needs it. It
// says no if the lane is kept already.
func (k *lanes) keep(key laneKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.kept[key]; ok || k.over {
		return false
	}
	k.kept[key] = nil
	k.wg.Go(func() {
		defer k.set(key, nil, false)
		for attempt := 0; ; attempt++ {
			lasted, err := k.hold(key)
			if k.ctx.Err() != nil || (err == nil && key.class == tunnel.LaneBulk) {
				return
			}
			if err != nil {
				k.trouble(key, err)
			}
			if lasted >= stableAfter {
				attempt = 0
			}
			select {
			case <-time.After(pause(attempt, err, rand.N)):
			case <-k.ctx.Done():
				return
			}
		}
	})
	return true
}

func (k *lanes) set(key laneKey, c *laneConn, kept bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if kept {
		k.kept[key] = c
	} else {
		delete(k.kept, key)
	}
}

// hold makes a lane and waits for its end. It returns how long the lane was up;
// an error says that it never was.
func (k *lanes) hold(key laneKey) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(k.ctx, laneTimeout)
	defer cancel()
	raw, err := k.dial(ctx, key.class, key.index)
	if err != nil {
		return 0, err
	}
	conn := &laneConn{Conn: k.brake.Hold(key.class, raw), ended: make(chan struct{})}
	lane, err := k.mux.Attach(key.class, key.index, conn)
	if err != nil {
		_ = conn.Close()
		return 0, err
	}
	k.set(key, conn, true)
	defer k.set(key, nil, true)
	since := time.Now()
	if key.class == tunnel.LaneBulk {
		k.retireIdle(lane, conn.ended)
	} else {
		<-conn.ended
	}
	return time.Since(since), nil
}

// retireIdle waits for the end of a lane, and brings it about once nobody used
// the lane for a while.
func (k *lanes) retireIdle(lane *mux.Lane, ended <-chan struct{}) {
	tick := time.NewTicker(k.idleCheck)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			if k.idle(lane) > k.bulkIdle {
				lane.Retire()
			}
		}
	}
}

func (k *lanes) idle(lane *mux.Lane) time.Duration {
	for _, s := range k.mux.Stats().Lanes {
		if s.Class == lane.Class() && s.Index == lane.Index() {
			return min(time.Since(s.LastUsed), time.Since(s.Since))
		}
	}
	return 0
}

// newsDelay is how long a lost lane is kept back from the log: when a whole
// session ends, its lanes often end first, and they are no news of their own.
const newsDelay = time.Second

// down is told by the mux that a lane ended.
func (k *lanes) down(lane *mux.Lane, err error) {
	if k.ctx.Err() != nil || err == nil || errors.Is(err, mux.ErrReplaced) {
		return
	}
	key := laneKey{lane.Class(), lane.Index()}
	time.AfterFunc(newsDelay, func() {
		if k.ctx.Err() == nil {
			k.trouble(key, err)
		}
	})
}

// trouble logs once a minute and lane.
func (k *lanes) trouble(key laneKey, err error) {
	name := fmt.Sprintf("%s/%d", key.class, key.index)
	if k.news.First(name) {
		k.log.Warn("tunnel lane down, trying on", "lane", name, "error", err)
	}
}

// status adds lanes and figures of the mux to the state of the link.
func (k *lanes) status(st *Status) {
	stats := k.mux.Stats()
	st.Streams += stats.Streams
	st.PacketsIn, st.PacketsOut, st.PacketsDropped = stats.PacketsIn, stats.PacketsOut, stats.PacketsDropped
	for class, bytes := range stats.Bytes {
		st.Bytes[class] = bytes
		st.BytesIn += bytes.In
		st.BytesOut += bytes.Out
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range stats.Lanes {
		remote := ""
		if c := k.kept[laneKey{l.Class, l.Index}]; c != nil {
			remote = c.RemoteAddr().String()
		}
		st.Lanes = append(st.Lanes, l.Status(remote))
		if l.Class == tunnel.LaneInteractive && l.RTT > 0 {
			st.RTT = l.RTT
		}
	}
}
