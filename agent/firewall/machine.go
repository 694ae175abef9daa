package firewall

import (
	"context"
	"log/slog"
	"sync"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
)

// machine is the kernel of this host, found when it is first needed: a host
// without iptables is a node without a firewall until somebody installs it.
type machine struct {
	log *slog.Logger

	mu     sync.Mutex
	kernel *apply.Kernel
}

func (m *machine) get() (*apply.Kernel, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kernel != nil {
		return m.kernel, nil
	}
	k, err := apply.New(apply.Config{Log: m.log})
	if err != nil {
		return nil, err
	}
	m.kernel = k
	return k, nil
}

// Close frees what the process holds. The rules stay.
func (m *machine) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kernel != nil {
		_ = m.kernel.Close()
		m.kernel = nil
	}
}

// Apply implements edgefw.Kernel. Where nothing is wished for, nothing is needed.
func (m *machine) Apply(ctx context.Context, w apply.Wish) (apply.Result, error) {
	k, err := m.get()
	if err != nil {
		if isEmpty(w.Ruleset) {
			return apply.Result{Way: apply.Nothing}, nil
		}
		return apply.Result{}, err
	}
	return k.Apply(ctx, w)
}

func isEmpty(rs *model.Ruleset) bool {
	for _, c := range []model.Chain{rs.Host.Ingress, rs.Host.Egress} {
		if len(c.Rules) > 0 || c.Default != model.Pass {
			return false
		}
	}
	return rs.Pods.IsolatedIngress == "" && rs.Pods.IsolatedEgress == ""
}

// Counters implements edgefw.Kernel.
func (m *machine) Counters() ([]apply.Counter, error) {
	k, err := m.get()
	if err != nil {
		return nil, err
	}
	return k.Counters()
}

// Observe implements edgefw.Kernel.
func (m *machine) Observe(ctx context.Context) (apply.Observation, error) {
	k, err := m.get()
	if err != nil {
		return apply.Observation{}, err
	}
	return k.Observe(ctx)
}

// Cut implements edgefw.Kernel.
func (m *machine) Cut(ctx context.Context, mayLive func(model.Packet) bool) (int, error) {
	k, err := m.get()
	if err != nil {
		return 0, err
	}
	return k.Cut(ctx, mayLive)
}

// Watch implements edgefw.Kernel.
func (m *machine) Watch(ctx context.Context, changed func()) error {
	k, err := m.get()
	if err != nil {
		return err
	}
	return k.Watch(ctx, changed)
}

// Drops implements edgefw.Kernel.
func (m *machine) Drops(ctx context.Context, tell func(apply.Drop)) error {
	k, err := m.get()
	if err != nil {
		return err
	}
	return k.Drops(ctx, tell)
}
