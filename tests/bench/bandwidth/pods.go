package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// delete removes pods and waits until they are gone.
func (b *bench) delete(pods ...*corev1.Pod) {
	for _, p := range pods {
		err := b.Client.CoreV1().Pods(p.Namespace).Delete(b.t.Context(), p.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			b.t.Error(err)
		}
	}
	testx.Eventually(b.t, cluster.Patience, fmt.Sprintf("%d pods are gone", len(pods)), func(ctx context.Context) error {
		for _, p := range pods {
			_, err := b.Client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
			if !apierrors.IsNotFound(err) {
				return errors.Join(fmt.Errorf("%s is there", p.Name), err)
			}
		}
		return nil
	})
}
