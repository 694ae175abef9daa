package kube

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
)

// announceBuilt makes built be called once when all controllers have been
// built: upstream starts their shared informers next, so the first request of
// those tells it (k8s.io/kubernetes/cmd/kube-controller-manager/app, Run).
func announceBuilt(config *rest.Config, built func()) error {
	// A provider takes the place of all that was wrapped before it.
	if config.AuthProvider != nil {
		provider, err := rest.GetAuthProvider(config.Host, config.AuthProvider, config.AuthConfigPersister)
		if err != nil {
			return fmt.Errorf("take the controllers' way to the API: %w", err)
		}
		config.AuthProvider = nil
		config.Wrap(provider.WrapTransport)
	}
	var once sync.Once
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if fromInformer(r) {
				once.Do(built)
			}
			return next.RoundTrip(r)
		})
	})
	return nil
}

// fromInformer tells a list or watch of the shared informers from the question
// for the API's health that the same client asks before.
func fromInformer(r *http.Request) bool {
	return strings.HasSuffix(r.UserAgent(), "/shared-informers") &&
		strings.HasPrefix(r.URL.Path, "/api") && r.URL.RawQuery != ""
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
