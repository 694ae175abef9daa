package kube

import (
	"testing"

	"k8s.io/apiserver/pkg/endpoints/request"
)

func TestNodeProxyTakesWhatIsForKubelets(t *testing.T) {
	p := &nodeProxy{exists: func(name string) bool { return name == "edge" }}
	info := func(name, path string, parts ...string) *request.RequestInfo {
		return &request.RequestInfo{
			IsResourceRequest: true, Resource: "nodes", Subresource: "proxy", Name: name, Path: path,
			Parts: append([]string{"nodes", name, "proxy"}, parts...),
		}
	}
	other := info("edge", "/x")
	other.Subresource = "status"
	grouped := info("edge", "/x")
	grouped.APIGroup = "metrics.k8s.io"
	for _, c := range []struct {
		info *request.RequestInfo
		want string
	}{
		{info("edge", "/api/v1/nodes/edge/proxy/stats/summary", "stats", "summary"), "https://edge:10250/stats/summary"},
		{info("edge", "/api/v1/nodes/edge/proxy/logs/", "logs"), "https://edge:10250/logs/"},
		{info("edge", "/api/v1/nodes/edge/proxy/"), "https://edge:10250/"},
		{info("https:edge:10250", "/api/v1/nodes/https:edge:10250/proxy/pods", "pods"), "https://edge:10250/pods"},
		{info("edge:9100", "/api/v1/nodes/edge:9100/proxy/metrics", "metrics"), ""},
		{info("stranger", "/api/v1/nodes/stranger/proxy/pods", "pods"), ""},
		{other, ""},
		{grouped, ""},
		{nil, ""},
	} {
		got := ""
		if location := p.location(c.info); location != nil {
			got = location.String()
		}
		if got != c.want {
			t.Errorf("%+v leads to %q, want %q", c.info, got, c.want)
		}
	}
}
