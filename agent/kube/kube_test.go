package kube

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/wire"
)

func testConfig(t *testing.T) Config {
	return Config{
		Layout: paths.New(t.TempDir()), NodeName: "edge1",
		NodeIPs:     []netip.Addr{netip.MustParseAddr("192.168.1.10")},
		ClusterCIDR: netip.MustParsePrefix("10.42.0.0/16"), ClusterDNS: netip.MustParseAddr("10.43.0.10"),
		ClusterDomain: "cluster.local", ContainerdSocket: "/run/kedge/containerd/containerd.sock",
		CgroupRoot: "/", Host: Host{CgroupV1: true, OOMScoreFixed: true},
		ServingCert: "/tls/kubelet.crt", ServingKey: "/tls/kubelet.key", ClientCA: "/tls/ca.crt",
	}
}

func TestKubeletListensOnLoopbackAndAsksWhoCalls(t *testing.T) {
	s, err := kubeletServer(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	if s.Address != "127.0.0.1" || s.ReadOnlyPort != 0 || s.Authentication.Anonymous.Enabled || !s.Authentication.Webhook.Enabled {
		t.Errorf("kubelet is open: %s, read-only port %d, %+v", s.Address, s.ReadOnlyPort, s.Authentication)
	}
	if s.FailCgroupV1 || s.OOMScoreAdj != 0 || s.CgroupDriver != "cgroupfs" {
		t.Errorf("kubelet did not adapt to the host: failCgroupV1 %v, oom %d, driver %s", s.FailCgroupV1, s.OOMScoreAdj, s.CgroupDriver)
	}
	if !slices.Equal(s.ClusterDNS, []string{"10.43.0.10"}) || s.NodeIP != "192.168.1.10" || s.HostnameOverride != "edge1" {
		t.Errorf("dns %v, ip %s, name %s", s.ClusterDNS, s.NodeIP, s.HostnameOverride)
	}
}

func TestKubeletOnAnOrdinaryHostKeepsUpstreamsDefaults(t *testing.T) {
	cfg := testConfig(t)
	cfg.Host = Host{SystemdCgroup: true}
	// Upstream's validation looks at the cgroups of the machine that runs the
	// test, so only what is handed to it is looked at.
	var c kubeletconfig.KubeletConfiguration
	c.OOMScoreAdj = -999
	configureKubelet(cfg, &c)
	if !c.FailCgroupV1 || c.OOMScoreAdj != -999 || c.CgroupDriver != "systemd" {
		t.Errorf("failCgroupV1 %v, oom %d, driver %s", c.FailCgroupV1, c.OOMScoreAdj, c.CgroupDriver)
	}
}

func TestAPersonsKubeletSettingsWin(t *testing.T) {
	cfg := testConfig(t)
	cfg.KubeletArgs = []string{"max-pods=17", "root-dir=/srv/kubelet"}
	s, err := kubeletServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.MaxPods != 17 || s.RootDirectory != "/srv/kubelet" {
		t.Errorf("max pods %d, root %s", s.MaxPods, s.RootDirectory)
	}
	cfg.KubeletArgs = []string{"max-podz=17"}
	if _, err := kubeletServer(cfg); err == nil || !strings.Contains(err.Error(), "--kubelet-arg") || !strings.Contains(err.Error(), "max-podz") {
		t.Errorf("a misspelt setting gave %v", err)
	}
}

func TestKubeletLeavesTheAddressesAlone(t *testing.T) {
	cfg := testConfig(t)
	flags := kubeletDefaults(cfg)
	if flags["cloud-provider"] != "external" || flags["node-labels"] != wire.LabelAddresses+"="+wire.AddressesDeclared {
		t.Errorf("kubelet would take the addresses away: %v", flags)
	}
	// A person with a cloud provider of their own keeps it.
	cfg.KubeletArgs = []string{"cloud-provider=external"}
	if flags = kubeletDefaults(cfg); flags["cloud-provider"] != "" || flags["node-labels"] != "" {
		t.Errorf("kedge would set the addresses: %v", flags)
	}
}

func TestNotReadySaysWhy(t *testing.T) {
	node := &corev1.Node{}
	if err := notReady(node); err == nil {
		t.Error("a node without conditions is ready")
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Message: "no network"}}
	if err := notReady(node); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("got %v", err)
	}
	node.Status.Conditions[0].Status = corev1.ConditionTrue
	if err := notReady(node); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestProxyLeavesTheConnectionTableAloneWhereItCannotBeSet(t *testing.T) {
	if writable(t.TempDir() + "/missing") {
		t.Error("a missing file is writable")
	}
	flags := proxyDefaults(testConfig(t))
	if flags["proxy-mode"] != "nftables" || flags["healthz-bind-address"] != "127.0.0.1" || flags["oom-score-adj"] != "0" ||
		flags["nodeport-addresses"] != "0.0.0.0/0" {
		t.Errorf("got %v", flags)
	}
}
