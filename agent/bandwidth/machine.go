package bandwidth

import (
	"context"
	"log/slog"
	"sync"

	"github.com/kedge-io/kedge/agent/bandwidth/classify"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// Machine is the kernel of this host: package shape with the programs of package
// classify. It asks what the kernel can when it is used for the first time.
type Machine struct {
	log *slog.Logger

	mu        sync.Mutex
	kernel    *shape.Kernel // nil as long as the kernel was not found able
	abilities classify.Abilities
}

var _ Kernel = (*Machine)(nil)

// NewMachine returns the kernel without asking it anything.
func NewMachine(log *slog.Logger) *Machine { return &Machine{log: log.With("component", Name)} }

// open asks the kernel once, or again if it could not do enough before: a
// module may have been loaded.
func (m *Machine) open() (*shape.Kernel, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kernel != nil {
		return m.kernel, nil
	}
	abilities, err := classify.Probe()
	if err != nil {
		return nil, &shape.Missing{What: "BPF classifiers as needed", Option: "CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF", Module: "cls_bpf", Err: err}
	}
	for _, reason := range abilities.Reasons {
		m.log.Info("bandwidth does without", "what", reason)
	}
	m.abilities = abilities
	m.kernel = shape.New(m.log, shape.Programs{Abilities: abilities})
	return m.kernel, nil
}

// Apply makes the kernel what the plan says.
func (m *Machine) Apply(ctx context.Context, p plan.Plan) (shape.Result, error) {
	k, err := m.open()
	if err != nil {
		return shape.Result{}, err
	}
	return k.Apply(ctx, p)
}

// Counters are those of all classes.
func (m *Machine) Counters() ([]shape.Counter, error) {
	k, err := m.open()
	if err != nil {
		return nil, err
	}
	return k.Counters()
}

// Differences reads the kernel and returns a line for each thing that is not as
// planned.
func (m *Machine) Differences(p plan.Plan) ([]string, error) {
	k, err := m.open()
	if err != nil {
		return nil, err
	}
	return k.Check(p)
}

// Attribution is how containers are told apart, and what this kernel has that
// others lack. Both are empty before the first use and where nothing works.
func (m *Machine) Attribution() (how v1alpha1.Attribution, abilities []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kernel == nil {
		return "", nil
	}
	how = v1alpha1.AttributionPorts
	if m.abilities.Senders && m.abilities.Receivers {
		how = v1alpha1.AttributionCgroup
	}
	for _, a := range []struct {
		has  bool
		name string
	}{{m.abilities.Senders, "senders"}, {m.abilities.Receivers, "receivers"}, {m.abilities.Routes, "routes"}} {
		if a.has {
			abilities = append(abilities, a.name)
		}
	}
	return how, abilities
}

// Close gives back what talks to the kernel; shaping stays in force.
func (m *Machine) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kernel == nil {
		return nil
	}
	err := m.kernel.Close()
	m.kernel = nil
	return err
}
