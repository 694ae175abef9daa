package kube

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	x509request "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/client-go/kubernetes"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	kubeletserver "k8s.io/kubernetes/pkg/kubelet/server"

	"github.com/kedge-io/kedge/internal/kubeclient"
)

// giveClients hands kubelet what it would make itself (buildKubeletClientConfig
// of cmd/kubelet/app), such that renewed certificates are taken up without
// cutting a request, that a wrong clock of the machine spoils neither its
// heartbeats nor whom it believes, and that it is known what it registers with.
func giveClients(ctx context.Context, cfg Config, server *options.KubeletServer, deps *kubelet.Dependencies, made *registration) error {
	config, err := kubeclient.FromFile(cfg.Layout.KubeletConfig(), "")
	if err != nil {
		return err
	}
	config.QPS, config.Burst = float32(server.KubeAPIQPS), int(server.KubeAPIBurst)
	main := rest.CopyConfig(config)
	main.Wrap(made.wrap)
	if deps.KubeClient, err = kubernetes.NewForConfig(main); err != nil {
		return fmt.Errorf("client of kubelet: %w", err)
	}
	events := rest.CopyConfig(config)
	events.QPS, events.Burst = float32(server.EventRecordQPS), int(server.EventBurst)
	if deps.EventClient, err = corev1.NewForConfig(events); err != nil {
		return fmt.Errorf("client of kubelet for events: %w", err)
	}
	beats := rest.CopyConfig(config)
	beats.QPS = -1
	lease := time.Duration(server.NodeLeaseDurationSeconds) * time.Second
	beats.Timeout = min(server.NodeStatusUpdateFrequency.Duration, lease)
	beats.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &leases{next: next, now: cfg.now(), wall: time.Now}
	})
	if deps.HeartbeatClient, err = kubernetes.NewForConfig(beats); err != nil {
		return fmt.Errorf("client of kubelet for heartbeats: %w", err)
	}
	auth, reload, err := app.BuildAuth(types.NodeName(cfg.NodeName), deps.KubeClient, server.KubeletConfiguration)
	if err != nil {
		return fmt.Errorf("authentication of kubelet: %w", err)
	}
	deps.Auth = timely(auth, cfg.now())
	reload(ctx.Done())
	return nil
}

// timelyAuth verifies certificates by kedge's clock before it asks upstream's
// authenticators, which go by the machine's.
type timelyAuth struct {
	kubeletserver.AuthInterface
	certificates authenticator.Request
}

func timely(auth kubeletserver.AuthInterface, now func() time.Time) *timelyAuth {
	options := func() (x509.VerifyOptions, bool) {
		o, ok := auth.VerifyOptions()
		o.CurrentTime = now()
		return o, ok
	}
	return &timelyAuth{auth, x509request.NewDynamic(options, x509request.CommonNameUserConversion)}
}

// AuthenticateRequest implements [authenticator.Request].
func (a *timelyAuth) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if response, ok, err := a.certificates.AuthenticateRequest(r); ok && err == nil {
		return response, ok, nil
	}
	return a.AuthInterface.AuthenticateRequest(r)
}
