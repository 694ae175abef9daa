package kubeglobals

import (
	"fmt"
	"sync"

	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	basecompatibility "k8s.io/component-base/compatibility"
	logsapi "k8s.io/component-base/logs/api/v1"

	"github.com/kedge-io/kedge/internal/kubeclient"
)

var once = sync.OnceValue(initialise)

// Init sets the process-wide state of Kubernetes. It may be called by every
// part; the first call does the work and the others return its result.
func Init() error { return once() }

func initialise() error {
	if err := kubeclient.RegisterProvider(); err != nil {
		return err
	}
	// Each part applies its own logging options; without this the second one
	// fails, because the first one's are in force already.
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	rest.SetDefaultWarningHandler(rest.NoWarnings{})

	registry := compatibility.DefaultComponentGlobalsRegistry
	if registry.EffectiveVersionFor(basecompatibility.DefaultKubeComponent) == nil {
		version := compatibility.DefaultBuildEffectiveVersion()
		if err := registry.Register(basecompatibility.DefaultKubeComponent, version, utilfeature.DefaultMutableFeatureGate); err != nil {
			return fmt.Errorf("register kubernetes feature gates: %w", err)
		}
	}
	// The server's own lease says which API servers there are. On one server
	// nobody reads it, and it costs a write to flash every ten seconds. The
	// proxy between API servers of different versions depends on it.
	gates := map[string]bool{"APIServerIdentity": false, "UnknownVersionInteroperabilityProxy": false}
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(gates); err != nil {
		return fmt.Errorf("set kubernetes feature gates: %w", err)
	}
	if err := registry.Set(); err != nil {
		return fmt.Errorf("set kubernetes feature gates: %w", err)
	}
	return nil
}
