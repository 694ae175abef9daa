package dns

import (
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/rest"
)

// endpointSlices is the path of lists and watches of all namespaces.
const endpointSlices = "/apis/discovery.k8s.io/v1/endpointslices"

// Which slices DNS needs. Names of services with an address come from the
// services alone. Those of headless services come from their slices, which the
// endpoint slice controller labels; slices that somebody else made may belong
// to a headless service and lack the label, and are few.
const (
	selectHeadless = corev1.IsHeadlessService
	selectForeign  = "!" + corev1.IsHeadlessService + "," + discoveryv1.LabelManagedBy + " notin (" + sliceController + ")"
	// sliceController signs the slices of services that have a selector.
	sliceController = "endpointslice-controller.k8s.io"
)

// selecting returns config with a label selector on lists and watches of
// endpoint slices: the plugin has one for all kinds or none.
func selecting(config *rest.Config, selector string) *rest.Config {
	own := rest.CopyConfig(config)
	own.Wrap(func(next http.RoundTripper) http.RoundTripper { return &sliceSelector{next, selector} })
	return own
}

type sliceSelector struct {
	next     http.RoundTripper
	selector string
}

// RoundTrip implements http.RoundTripper.
func (s *sliceSelector) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, endpointSlices) {
		r = r.Clone(r.Context())
		query := r.URL.Query()
		query.Set("labelSelector", s.selector)
		r.URL.RawQuery = query.Encode()
	}
	return s.next.RoundTrip(r)
}
