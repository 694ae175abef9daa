package kube

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/internal/kubeclient"
)

// announceWhen calls ready once done says so, asking a few times a second.
func announceWhen(ctx context.Context, cfg Config, done func(context.Context, kubernetes.Interface) bool, ready func()) {
	// Not the administrator's kubeconfig, which holds its certificate: a start may
	// take longer than that is good.
	config, err := kubeclient.FromFile(cfg.Certs.SupervisorKubeconfig, "")
	if err != nil {
		return
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for !done(ctx, client) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	ready()
}

func apiIsReady(ctx context.Context, client kubernetes.Interface) bool {
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(5*time.Second).Do(ctx).Error() == nil
}

func defaultServiceAccountExists(ctx context.Context, client kubernetes.Interface) bool {
	_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err == nil
}
