package version

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestNodesReportUpstreamAndKedgeVersion(t *testing.T) {
	for _, c := range []struct{ upstream, kedge, want string }{
		{"v1.36.3", "0.1.0", "v1.36.3+kedge0.1.0"},
		{"v1.36.3", "0.1.0-dev", "v1.36.3+kedge0.1.0-dev"},
		{"v1.36.3", "0.1.0+patched", "v1.36.3+kedge0.1.0.patched"},
		{unknown, "0.1.0", unknown},
	} {
		if got := kubernetes(c.upstream, c.kedge); got != c.want {
			t.Errorf("kubernetes(%q, %q) = %q, want %q", c.upstream, c.kedge, got, c.want)
		}
	}
}

func TestReplacedModuleCountsWithItsReplacement(t *testing.T) {
	got := versions([]*debug.Module{
		{Path: "example.org/a", Version: "v1.0.0"},
		{Path: "example.org/b", Version: "v0.0.0", Replace: &debug.Module{Path: "example.org/b", Version: "v0.36.3"}},
	})
	if got["example.org/a"] != "v1.0.0" || got["example.org/b"] != "v0.36.3" {
		t.Fatalf("got %v", got)
	}
}

func TestEveryVersionHasAText(t *testing.T) {
	i := Get()
	for name, v := range map[string]string{
		"kedge": i.Kedge, "kubernetes": i.Kubernetes, "containerd": i.Containerd, "runc": i.Runc,
		"kine": i.Kine, "sqlite": i.SQLite, "coredns": i.CoreDNS,
	} {
		if v == "" {
			t.Errorf("%s is empty", name)
		}
	}
	if i.Go != runtime.Version() {
		t.Errorf("go is %q", i.Go)
	}
}
