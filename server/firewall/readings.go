package firewall

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/server/firewall/sources"
)

// readings keeps what EdgeFirewalls mean, read once for each generation.
type readings struct {
	mu   sync.Mutex
	read map[types.UID]reading
}

// reading is what an EdgeFirewall means, or why it means nothing.
type reading struct {
	generation int64
	firewall   model.Firewall
	err        error
}

// read is what an EdgeFirewall means.
func (f *Firewall) read(o *v1alpha1.EdgeFirewall) reading {
	f.readings.mu.Lock()
	defer f.readings.mu.Unlock()
	if r, ok := f.readings.read[o.UID]; ok && r.generation == o.Generation {
		return r
	}
	r := reading{generation: o.Generation}
	r.firewall, r.err = sources.Firewall(o)
	if f.readings.read == nil {
		f.readings.read = map[types.UID]reading{}
	}
	f.readings.read[o.UID] = r
	return r
}

// forget drops what was read of firewalls that are gone.
func (f *Firewall) forget(obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	o, ok := obj.(*v1alpha1.EdgeFirewall)
	if !ok {
		return
	}
	f.readings.mu.Lock()
	defer f.readings.mu.Unlock()
	delete(f.readings.read, o.UID)
}
