package network

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/kedge-io/kedge/agent/network/probe"
)

// direct looks for peers of the same site. A nil one finds none.
type direct struct {
	*probe.Prober
	key     probe.Key
	adopted bool
}

func newDirect(cfg Config, log *slog.Logger, changed func()) (*direct, error) {
	if cfg.ProbeKeyFile == "" {
		return nil, nil
	}
	key, err := probe.LoadKey(cfg.ProbeKeyFile)
	if err != nil {
		return nil, err
	}
	return &direct{Prober: probe.New(key, log, changed), key: key}, nil
}

// run probes until ctx ends; the result waits for that.
func (d *direct) run(ctx context.Context) (wait func()) {
	done := make(chan struct{})
	if d == nil {
		close(done)
	} else {
		go func() {
			defer close(done)
			d.Run(ctx)
		}()
	}
	return func() { <-done }
}

// look tells the prober what is known, and the facts what it found. The routes
// of a former process of this node are kept until they have proven wrong: a
// restart costs no connection.
func (d *direct) look(f *Facts) error {
	if d == nil {
		return nil
	}
	mtu := bridgeMTU(*f)
	peers := candidates(*f, mtu)
	if !d.adopted {
		gateways, err := directGateways()
		if err != nil {
			return err
		}
		ranges := map[string]netip.Prefix{}
		for _, p := range f.Peers {
			ranges[p.Name] = p.PodCIDR
		}
		for i := range peers {
			peers[i].Adopt = gateways[ranges[peers[i].Name]]
		}
		d.adopted = true
	}
	err := d.Set(f.PodCIDR.Masked().Addr().Next(), peers)
	f.Tried, f.Direct = d.Tried(), d.Direct()
	if err != nil {
		return fmt.Errorf("looking for nodes of the same site: %w", err)
	}
	return nil
}
