package uplink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"sync"

	"github.com/kedge-io/kedge/agent/bandwidth/cgroup"
	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Watcher knows the uplinks of now. Its methods may be called by several at once.
type Watcher struct {
	cfg      parsed
	log      *slog.Logger
	sys      fs.FS // /sys
	identify func(path string) (uint64, error)

	mu      sync.Mutex
	known   bool
	memory  memory
	uplinks []model.Uplink
	trouble error
	listen  []chan struct{}
}

// New makes a watcher that does not run yet. The error is that of
// [Config.Validate].
func New(cfg Config, log *slog.Logger) (*Watcher, error) {
	p, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	return &Watcher{cfg: p, log: log, sys: os.DirFS("/sys"), identify: cgroup.Identity}, nil
}

// Now returns the uplinks, that of the default route first, and who has the
// reserve. There is at least one uplink, without name or rates if need be. The
// error names what was asked for and is not there; the rest holds all the same.
func (w *Watcher) Now() ([]model.Uplink, model.Reserve, error) {
	w.mu.Lock()
	if !w.known {
		w.look()
	}
	uplinks, trouble := w.uplinks, w.trouble
	w.mu.Unlock()
	// A service that starts again has another folder: it is looked up each time.
	reserve, err := w.reserve()
	return uplinks, reserve, errors.Join(trouble, err)
}

func (w *Watcher) reserve() (model.Reserve, error) {
	r := model.Reserve{Ports: w.cfg.ports}
	var errs []error
	for _, path := range w.cfg.cgroups {
		id, err := w.identify(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("--uplink-reserve cgroup:%s: %w", path, err))
			continue
		}
		r.Cgroups = append(r.Cgroups, id)
	}
	return r, errors.Join(errs...)
}

// Subscribe returns a channel that receives something after uplinks changed.
func (w *Watcher) Subscribe() <-chan struct{} {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listen = append(w.listen, c)
	return c
}

// Run follows the links and routes of the network namespace of the calling
// goroutine's thread until ctx ends. The error says why it cannot.
func (w *Watcher) Run(ctx context.Context) error {
	news := make(chan struct{}, 1)
	stop, err := watchLinks(func() {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	for {
		w.refresh() // what changed before the watch was there, too
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		}
	}
}

// refresh looks again and tells those who listen.
func (w *Watcher) refresh() {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, before, trouble := w.known, w.uplinks, fmt.Sprint(w.trouble)
	w.look()
	if known && reflect.DeepEqual(before, w.uplinks) && trouble == fmt.Sprint(w.trouble) {
		return
	}
	for _, u := range w.uplinks {
		w.log.Info("uplink", "device", cmp.Or(u.Device, None), "index", u.Index, "egress", told(u.Rates[model.Egress]), "ingress", told(u.Rates[model.Ingress]))
	}
	for _, c := range w.listen {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// told is a rate for people.
func told(r bitrate.Rate) string {
	if r == 0 {
		return "not known"
	}
	return r.Human()
}

// look fills in what is known now. The lock is held.
func (w *Watcher) look() {
	w.known = true
	w.uplinks, w.trouble = find(w.cfg, w.sys, &w.memory)
}
