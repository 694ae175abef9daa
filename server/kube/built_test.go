package kube

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"
)

func TestControllersAreBuiltWithTheFirstListOfTheSharedInformers(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	calls := 0
	config := &rest.Config{Host: api.URL}
	announceBuilt(config, func() { calls++ })
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
