package bandwidth

import (
	"context"
	"errors"
	"net/netip"

	"github.com/kedge-io/kedge/agent/bandwidth/inventory"
	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/report"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// Config says what the component is about. It is not changed after [New].
type Config struct {
	// NodeName chooses the pods.
	NodeName string
	// Kubeconfig is that of kedge's own parts on the node.
	Kubeconfig string
	// StateFile is where the last known wishes are kept.
	StateFile string
	// ClassesFile is where the numbers of classes are kept until the next boot,
	// when the classes are gone as well.
	ClassesFile string
	// Local returns the addresses that traffic reaches without any uplink. It is
	// called at each pass and must not block.
	Local func() []netip.Prefix
	// Services are the addresses of services.
	Services []netip.Prefix
}

// Validate reports all problems, joined.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct{ what, value string }{
		{"node name", c.NodeName}, {"kubeconfig", c.Kubeconfig}, {"state file", c.StateFile}, {"file of classes", c.ClassesFile},
	} {
		if f.value == "" {
			errs = append(errs, errors.New("bandwidth needs a "+f.what))
		}
	}
	if c.Local == nil {
		errs = append(errs, errors.New("bandwidth needs to know what is local"))
	}
	return errors.Join(errs...)
}

// Inventory is what runs on the node.
type Inventory interface {
	// Pods returns all pods and the revision of this state; revision 0 means that
	// the runtime was not heard yet.
	Pods() ([]inventory.Pod, uint64)
	// Applied lets the runtime go on that waits for the revision.
	Applied(revision uint64)
}

// Uplinks are the links over which the node reaches others, and who has the
// reserve there.
type Uplinks interface {
	// Now returns what is known, without waiting for anything. The error is about
	// what a person said and cannot be followed; the rest holds all the same.
	Now() ([]model.Uplink, model.Reserve, error)
}

// Kernel is where the plan goes.
type Kernel interface {
	// Apply makes the kernel what the plan says.
	Apply(ctx context.Context, p plan.Plan) (shape.Result, error)
	// Counters are those of all classes.
	Counters() ([]shape.Counter, error)
	// Differences reads the kernel and returns a line for each thing that is not
	// as planned.
	Differences(p plan.Plan) ([]string, error)
	// Attribution is how containers are told apart, and what this kernel has that
	// others lack; empty where that is not known yet.
	Attribution() (how v1alpha1.Attribution, abilities []string)
}

// Reporter tells the API what this node does about bandwidth.
type Reporter interface {
	// Update takes what is known now; it does not wait for the API.
	Update(in report.Input)
	// Run keeps the report in the API until ctx ends.
	Run(ctx context.Context) error
}

// Parts are what the component brings together.
type Parts struct {
	Inventory Inventory
	Uplinks   Uplinks
	Kernel    Kernel
	Reporter  Reporter
	// Changed receive something when inventory or uplinks have changed.
	Changed []<-chan struct{}
	// Beside run as long as the component does. One that ends with an error
	// degrades it and is started again.
	Beside []func(ctx context.Context) error
}
