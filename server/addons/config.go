package addons

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
)

// Config of the manifests component.
type Config struct {
	// Dir holds the manifests, <data>/server/manifests.
	Dir string
	// Disable names packaged manifests that this cluster does without.
	Disable []string
	// ClusterDNS is the address of the kube-dns Service.
	ClusterDNS netip.Addr
	// Client makes the administrator's client; it is called once the
	// components that this one needs are ready.
	Client func() (*rest.Config, error)
	// Report gets the joined faults of all manifests and nil when there are
	// none left. Optional.
	Report func(error)
	// Log is required.
	Log *slog.Logger
}

// Validate returns all problems of c joined.
func (c Config) Validate() error {
	var errs []error
	if !filepath.IsAbs(c.Dir) {
		errs = append(errs, fmt.Errorf("manifests: folder %q must be an absolute path", c.Dir))
	}
	if !c.ClusterDNS.IsValid() && !slices.Contains(c.Disable, "coredns") {
		errs = append(errs, errors.New("manifests: no cluster DNS address given (--cluster-dns)"))
	}
	for _, name := range c.Disable {
		if slices.Contains(essential, name) {
			errs = append(errs, fmt.Errorf("--disable %s: no node works without it: remove it from the list", name))
		} else if !slices.Contains(Packaged(), name) {
			errs = append(errs, fmt.Errorf("--disable %s: no such part: use one of %s", name, strings.Join(Packaged(), ", ")))
		}
	}
	if c.Client == nil || c.Log == nil {
		errs = append(errs, errors.New("manifests: no client or logger given"))
	}
	return errors.Join(errs...)
}
