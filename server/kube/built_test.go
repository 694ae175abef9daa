package kube

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/pki"
)

func TestControllersAreBuiltWithTheFirstListOfTheSharedInformers(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	calls := 0
	config := &rest.Config{Host: api.URL}
	if err := announceBuilt(config, func() { calls++ }); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		agent, path string
		want        int
	}{
		{"shared-informers", "/healthz", 0},
		{"endpoint-controller", "/api/v1/endpoints?limit=500", 0},
		{"shared-informers", "/api/v1/nodes?limit=500", 1},
		{"shared-informers", "/apis/apps/v1/deployments?watch=true", 1},
	} {
		client, err := rest.HTTPClientFor(rest.AddUserAgent(rest.CopyConfig(config), step.agent))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Get(api.URL + step.path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if calls != step.want {
			t.Errorf("after %s asked for %s it was announced %d times, want %d", step.agent, step.path, calls, step.want)
		}
	}
}

// A kubeconfig that is followed while running replaces client-go's transport, and
// must not replace ours.
func TestControllersAreBuiltWithALiveKubeconfig(t *testing.T) {
	dir := t.TempDir()
	k := kubeclient.Kubeconfig{
		Server: "https://127.0.0.1:1", User: "u", Live: true,
		CAFile: filepath.Join(dir, "ca"), CertFile: filepath.Join(dir, "crt"), KeyFile: filepath.Join(dir, "key"),
	}
	ca, err := pki.EnsureCA(k.CAFile, filepath.Join(dir, "ca-key"), "ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := pki.EnsureLeaf(k.CertFile, k.KeyFile, ca, pki.Names{CommonName: "u", Client: true}, time.Now()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "kubeconfig")
	if _, err := k.Write(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := kubeclient.RegisterProvider(); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	if err := announceBuilt(config, func() { calls++ }); err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(rest.AddUserAgent(config, "shared-informers"))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := client.Get(k.Server + "/api/v1/nodes?limit=500"); err == nil {
		_ = resp.Body.Close()
	}
	if calls != 1 {
		t.Errorf("announced %d times", calls)
	}
}
