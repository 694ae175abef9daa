package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/agent/network/tun"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/quiet"
)

// Name is the component's name.
const Name = "relay"

const (
	// lookAfter is how often the device is compared with the pods' bridge.
	lookAfter = 30 * time.Second
	retryMin  = time.Second
)

// Link is the way to the other nodes.
type Link interface {
	// Send takes a copy of a packet, or drops it and returns false. It must
	// not block.
	Send(p []byte) bool
	// SetReceiver says who takes what comes for this node; nil drops it. The
	// packets are valid during the call, and several may come at a time.
	SetReceiver(receive func(p []byte))
}

// Config is what a relay needs to know.
type Config struct {
	Link Link
	// Device is the name of the TUN device, Bridge that of the link whose
	// address and MTU the device takes over.
	Device, Bridge string
	// Up, where set, is called whenever the device came up.
	Up func()
	// Report, where set, is told of trouble and, with nil, when it is over.
	Report func(error)
}

// Relay joins the device and the link.
type Relay struct {
	cfg     Config
	log     *slog.Logger
	strange *quiet.Log

	sent, received  atomic.Int64
	lost, refusedIn atomic.Int64
	refusedOut      atomic.Int64
}

// Stats are the figures since the start.
type Stats struct {
	// Sent were taken by the link, Lost were not.
	Sent int64 `json:"sent"`
	Lost int64 `json:"lost"`
	// Received were given to the kernel.
	Received int64 `json:"received"`
	// RefusedOut were not from this node's range, RefusedIn not for it, or
	// they were no packets.
	RefusedOut int64 `json:"refusedOut"`
	RefusedIn  int64 `json:"refusedIn"`
}

// New returns a relay that does nothing until Run.
func New(cfg Config, log *slog.Logger) *Relay {
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	return &Relay{cfg: cfg, log: log.With("component", Name), strange: quiet.New(time.Now)}
}

// Component returns the relay for a group. It needs the pod network, whose
// bridge must be there.
func (r *Relay) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: r.Run}
}

// Stats returns the figures of now.
func (r *Relay) Stats() Stats {
	return Stats{
		Sent: r.sent.Load(), Lost: r.lost.Load(), Received: r.received.Load(),
		RefusedOut: r.refusedOut.Load(), RefusedIn: r.refusedIn.Load(),
	}
}

// Run relays until ctx ends and leaves the device in place then. It calls ready
// when the device is up, or when it is known that there can be none.
func (r *Relay) Run(ctx context.Context, ready func()) error {
	retry, isReady := retryMin, false
	up := func() {
		r.cfg.Report(nil)
		if r.cfg.Up != nil {
			r.cfg.Up()
		}
		retry = retryMin
		if !isReady {
			ready()
		}
		isReady = true
	}
	for ctx.Err() == nil {
		err := r.once(ctx, up)
		if ctx.Err() != nil {
			break
		}
		err = fmt.Errorf("pods here do not reach pods of other sites: %w", err)
		r.cfg.Report(err)
		if !isReady {
			r.log.Warn("no relay, trying on", "error", err)
			ready()
			isReady = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryMin/2 + rand.N(retry)): // full jitter
		}
		retry = min(2*retry, lookAfter)
	}
	return nil
}

// once holds the device until it fails or ctx ends. All changes of the link are
// made by the calling goroutine, whose thread may have a network namespace of
// its own.
func (r *Relay) once(ctx context.Context, up func()) error {
	settings, ok := tun.Bridge(r.cfg.Bridge)
	if !ok {
		return fmt.Errorf("bridge %s has no address yet", r.cfg.Bridge)
	}
	device, err := tun.Open(r.cfg.Device)
	if err != nil {
		return err
	}
	if err := tun.Configure(r.cfg.Device, settings); err != nil {
		return errors.Join(err, device.Close())
	}
	f := flow{Relay: r, device: device}
	f.pods.Store(&settings.Address)
	ended := make(chan error, 1)
	go func() { ended <- f.send() }()
	r.cfg.Link.SetReceiver(f.receive)
	r.log.Info("relay of pod packets is up", "device", r.cfg.Device, "address", settings.Address.Addr(), "mtu", settings.MTU)
	up()
	running, err := f.lookAfter(ctx, settings, ended)
	r.cfg.Link.SetReceiver(nil)
	err = errors.Join(err, device.Close())
	if running {
		err = errors.Join(err, <-ended)
	}
	return err
}

// lookAfter keeps the link's settings until ctx ends or something fails. It
// tells whether the sender still runs.
func (f *flow) lookAfter(ctx context.Context, have tun.Settings, ended <-chan error) (running bool, err error) {
	ticker := time.NewTicker(lookAfter)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case err := <-ended:
			return false, err
		case <-ticker.C:
		}
		// A bridge that is away for a moment changes nothing.
		if now, ok := tun.Bridge(f.cfg.Bridge); ok {
			have = now
		}
		if err := tun.Configure(f.cfg.Device, have); err != nil {
			return true, err
		}
		f.pods.Store(&have.Address)
	}
}

// isClosed tells the end of a device that we closed.
func isClosed(err error) bool { return errors.Is(err, os.ErrClosed) }
