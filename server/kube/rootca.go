package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	serviceaccountcontroller "k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/serviceaccount"

	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// RootCA is the component that tells pods whom to trust.
const RootCA = "root-ca"

const (
	// caInterval is how soon a change of the authorities is noticed. Pods see it
	// a minute later at best, when kubelet looks at their volumes.
	caInterval = 5 * time.Second
	// tokenWorkers is how many Secrets with tokens are worked on at a time.
	tokenWorkers = 5
)

// newRootCA returns upstream's two controllers that hand the API's authorities to
// pods: in the ConfigMap kube-root-ca.crt of each namespace, and in Secrets with
// tokens. The controller manager would read the authorities once, at its start;
// here both begin anew when the file changes.
func newRootCA(cfg Config) lifecycle.Component {
	return lifecycle.Component{
		Name:  RootCA,
		Needs: []string{APIServer},
		Run: func(ctx context.Context, ready func()) error {
			config, err := kubeclient.FromFile(cfg.Certs.SupervisorKubeconfig, "kedge/"+RootCA)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("make a client for %s: %w", RootCA, err)
			}
			r := &rootCA{client: client, bundle: cfg.Certs.ServerTrust, key: cfg.Certs.ServiceKey, every: caInterval}
			return r.run(ctx, ready)
		},
	}
}

type rootCA struct {
	client      kubernetes.Interface
	bundle, key string
	every       time.Duration
}

// run has the controllers run with the authorities as they are now, until ctx
// ends.
func (r *rootCA) run(ctx context.Context, ready func()) error {
	var running []byte
	end := func() {}
	defer func() { end() }()
	for {
		text, err := os.ReadFile(r.bundle)
		if err != nil && running == nil {
			return fmt.Errorf("read the authorities for pods: %w", err)
		}
		// A file that cannot be read while running is the business of whoever
		// keeps it; the former content is as good as before.
		if err == nil && !bytes.Equal(text, running) {
			end()
			if end, err = r.start(ctx, text, ready); err != nil {
				return err
			}
			running, ready = text, func() {}
		}
		if !lifecycle.Pause(ctx, r.every) {
			return nil
		}
	}
}

// start runs both controllers; what it returns ends them and waits.
func (r *rootCA) start(ctx context.Context, ca []byte, ready func()) (func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	maps, secrets := r.informers(fields.OneTermEqualSelector(metav1.ObjectNameField, rootcacertpublisher.RootCACertConfigMapName)),
		r.informers(fields.OneTermEqualSelector("type", string(corev1.SecretTypeServiceAccountToken)))
	all := r.informers(fields.Everything())
	publisher, err := rootcacertpublisher.NewPublisher(maps.Core().V1().ConfigMaps(), all.Core().V1().Namespaces(), r.client, ca)
	tokens, tokensErr := r.tokens(ctx, all, secrets, ca)
	if err := errors.Join(err, tokensErr); err != nil {
		cancel()
		return func() {}, fmt.Errorf("make the controllers of %s: %w", RootCA, err)
	}
	factories := []informers.SharedInformerFactory{maps, secrets, all}
	for _, f := range factories {
		f.StartWithContext(ctx)
	}
	done := make(chan struct{}, 2)
	go func() { publisher.Run(ctx, 1); done <- struct{}{} }()
	go func() { tokens.Run(ctx, tokenWorkers); done <- struct{}{} }()
	for _, f := range factories {
		f.WaitForCacheSync(ctx.Done())
	}
	ready()
	return func() {
		cancel()
		<-done
		<-done
		for _, f := range factories {
			f.Shutdown()
		}
	}, nil
}

func (r *rootCA) informers(selector fields.Selector) informers.SharedInformerFactory {
	return informers.NewSharedInformerFactoryWithOptions(r.client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = selector.String() }))
}

func (r *rootCA) tokens(ctx context.Context, accounts, secrets informers.SharedInformerFactory, ca []byte) (*serviceaccountcontroller.TokensController, error) {
	key, err := keyutil.PrivateKeyFromFile(r.key)
	if err != nil {
		return nil, err
	}
	generator, err := serviceaccount.JWTTokenGenerator(serviceaccount.LegacyIssuer, key)
	if err != nil {
		return nil, err
	}
	return serviceaccountcontroller.NewTokensController(klog.FromContext(ctx),
		accounts.Core().V1().ServiceAccounts(), secrets.Core().V1().Secrets(), r.client,
		serviceaccountcontroller.TokensControllerOptions{TokenGenerator: generator, RootCA: ca})
}
