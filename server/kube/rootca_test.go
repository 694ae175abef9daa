package kube

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/internal/pki"
)

func TestPodsAreToldTheAuthoritiesOfTheMoment(t *testing.T) {
	dir := t.TempDir()
	r := &rootCA{bundle: filepath.Join(dir, "ca"), key: filepath.Join(dir, "key"), every: 10 * time.Millisecond}
	if _, _, err := pki.EnsureKey(r.key); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default", UID: types.UID("1")}}
	token := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "t", Namespace: "default", UID: types.UID("2"), Annotations: map[string]string{
			corev1.ServiceAccountNameKey: "a", corev1.ServiceAccountUIDKey: "1",
		}},
		Type: corev1.SecretTypeServiceAccountToken,
	}
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, account, token)
	r.client = client
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(r.bundle, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for ticker := time.NewTicker(10 * time.Millisecond); ; {
			m, err := client.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
			s, serr := client.CoreV1().Secrets("default").Get(ctx, "t", metav1.GetOptions{})
			if err == nil && serr == nil && m.Data["ca.crt"] == want && string(s.Data["ca.crt"]) == want && len(s.Data["token"]) > 0 {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("never %q: %v %v %v %v", want, m, err, s, serr)
			case <-ticker.C:
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error)
	write("one")
	go func() { done <- r.run(ctx, func() { close(ready) }) }()
	<-ready
	expect("one")
	write("one and two")
	expect("one and two")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestPodsWithoutAuthoritiesAreAnError(t *testing.T) {
	r := &rootCA{bundle: filepath.Join(t.TempDir(), "none"), every: time.Millisecond}
	if err := r.run(t.Context(), func() { t.Error("ready") }); err == nil {
		t.Fatal("no error")
	}
}
