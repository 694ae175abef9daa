package preflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/kedge-io/kedge/internal/clusternet"
	"github.com/kedge-io/kedge/internal/finding"
)

func TestPortsThatAreTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	m := newMachine(Config{})
	got := m.port(t.Context(), l.Addr().String(), "kubelet")
	expect(t, got, fmt.Sprintf("error ports.taken: kubelet needs, is taken by %s (process %d)", self(t), os.Getpid()))

	f := fake(nil, nil)
	f.cfg.Server = true
	f.listen = func(network, address string) error {
		switch {
		case strings.HasSuffix(address, ":6443"), strings.HasSuffix(address, ":10250"), network == "udp" && strings.HasSuffix(address, ":53"):
			return &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
		}
		return nil
	}
	expect(t, f.ports(t.Context()), "error ports.taken: 0.0.0.0:6443, which the server needs", "error ports.taken: 127.0.0.1:10250, which kubelet needs", "error ports.dns: (udp)")
	f.cfg.Running = true
	expect(t, f.ports(t.Context()))
	f.cfg.Running, f.cfg.Bind = false, netip.MustParseAddr("192.0.2.99")
	f.listen = func(_, address string) error {
		if strings.HasPrefix(address, "192.0.2.99") {
			return &net.OpError{Op: "listen", Err: syscall.EADDRNOTAVAIL}
		}
		return nil
	}
	expect(t, f.ports(t.Context()), "error ports.taken: no address of this host")
}

// self is the name of this process as the kernel has it.
func self(t *testing.T) string {
	t.Helper()
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(name))
}

func TestRanges(t *testing.T) {
	prefix := netip.MustParsePrefix
	addrs := []own{{netip.MustParseAddr("192.0.2.1"), "eth0"}, {netip.MustParseAddr("10.42.9.1"), "cni0"}}
	routes := []route{{prefix("10.0.0.0/8"), "vpn0"}, {prefix("10.43.7.0/24"), "eth1"}, {prefix("192.0.2.0/24"), "eth0"}}
	want := []string{"error ranges.address: 10.42.9.1 of cni0", "info ranges.route: 10.0.0.0/8 by vpn0 contains the range of pods",
		"info ranges.route: 10.0.0.0/8 by vpn0 contains the range of services", "warning ranges.route: 10.43.7.0/24 by eth1 is in the range of services"}
	expect(t, judgeRanges(clusternet.Default(), addrs, routes, false), want...)
	want[0] = "warning ranges.address: the server knows the real one"
	expect(t, judgeRanges(clusternet.Default(), addrs, routes, true), want...)
	other := clusternet.Default()
	other.Pods, other.Services = prefix("172.20.0.0/16"), prefix("172.21.0.0/16")
	expect(t, judgeRanges(other, addrs, routes, false))
	m := fake(nil, nil)
	m.cfg.PlanError = errors.New("--cluster-cidr and --service-cidr overlap")
	expect(t, m.ranges(t.Context()), "error ranges.plan: overlap")
}

func TestOtherFirewalls(t *testing.T) {
	const ufw = "-P INPUT DROP\n-P FORWARD DROP\n-N ufw-user-input\n"
	server := Config{Server: true, Node: true, Port: 6443}
	for name, c := range map[string]struct {
		walls walls
		cfg   Config
		want  []string
	}{
		"none":             {walls{}, server, nil},
		"ufw":              {walls{filter: map[string]string{"nft": ufw}}, server, []string{"warning firewall.ufw: ufw is active"}},
		"ufw lets us in":   {walls{filter: map[string]string{"nft": ufw + "-A ufw-user-input -i kedge0 -j ACCEPT\n-A ufw-user-input -p tcp -m tcp --dport 6443 -j ACCEPT\n"}}, server, nil},
		"ufw on an agent":  {walls{filter: map[string]string{"legacy": ufw + "-A ufw-user-input -i kedge0 -j ACCEPT\n"}}, Config{Node: true}, nil},
		"firewalld":        {walls{chains: "table inet firewalld {\n\tchain filter_INPUT {\n\t\ttype filter hook input priority filter + 10; policy accept;\n\t}\n}\n"}, server, []string{"warning firewall.firewalld: active"}},
		"Docker":           {walls{filter: map[string]string{"nft": "-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER\n"}}, server, []string{"info firewall.forward: policy of FORWARD"}},
		"own iptables":     {walls{filter: map[string]string{"legacy": "-P INPUT DROP\n-P FORWARD ACCEPT\n"}}, server, []string{"warning firewall.input: policy of INPUT"}},
		"own nftables":     {walls{chains: "table inet filter {\n\tchain in {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n\tchain fwd {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n"}, server, []string{"warning firewall.input: table inet filter", "warning firewall.forward: chain fwd"}},
		"both kinds":       {walls{filter: map[string]string{"legacy": "-P INPUT ACCEPT\n-A INPUT -j X\n", "nft": "-A INPUT -j Y\n-A FORWARD -j KEDGE-FORWARD\n"}}, server, []string{"warning programs.iptables-variants: 1 rules of iptables-legacy and 1 of iptables-nft"}},
		"kedge's own only": {walls{filter: map[string]string{"legacy": "-A INPUT -j X\n", "nft": "-A FORWARD -j KEDGE-FORWARD\n"}}, server, nil},
		"k3s was here":     {walls{nat: map[string]string{"nft": "-P PREROUTING ACCEPT\n-N KUBE-SERVICES\n-N FLANNEL-POSTRTG\n"}}, server, []string{"warning firewall.kube: KUBE-SERVICES"}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, judgeWalls(c.walls, c.cfg), c.want...) })
	}
}

func TestResolvers(t *testing.T) {
	many := "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"
	for name, c := range map[string]struct {
		files  map[string]string
		silent string // servers that do not answer
		want   []string
	}{
		"none":          {map[string]string{"etc/resolv.conf": "search lan\n"}, "", []string{"warning dns.resolv-conf: no line nameserver"}},
		"no file":       {nil, "", []string{"warning dns.resolv-conf: no line nameserver"}},
		"stub":          {map[string]string{"etc/resolv.conf": "nameserver 127.0.0.53\n", "run/systemd/resolve/resolv.conf": "nameserver 192.0.2.1\n"}, "127.0.0.53", nil},
		"forwarder":     {map[string]string{"etc/resolv.conf": "nameserver 127.0.0.1\n"}, "", []string{"warning dns.stub: loopback"}},
		"too many":      {map[string]string{"etc/resolv.conf": many}, "", []string{"info dns.too-many: 4 resolvers"}},
		"long search":   {map[string]string{"etc/resolv.conf": "nameserver 192.0.2.1\nsearch " + strings.Repeat("a.example ", 30)}, "", []string{"warning dns.search: 30 domains"}},
		"one is silent": {map[string]string{"etc/resolv.conf": "nameserver 192.0.2.1\nnameserver 192.0.2.2\n"}, "192.0.2.1", []string{"info dns.silent: some resolvers do not answer: 192.0.2.1"}},
		"all hang":      {map[string]string{"etc/resolv.conf": "nameserver 192.0.2.1\n"}, "192.0.2.1", []string{"warning dns.silent: no resolver answers: 192.0.2.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := fake(c.files, nil)
			m.resolve = func(_ context.Context, server netip.Addr, _ string) error {
				if strings.Contains(c.silent, server.String()) {
					return context.DeadlineExceeded
				}
				return nil
			}
			expect(t, m.resolvers(t.Context()), c.want...)
		})
	}
}

func TestUplinks(t *testing.T) {
	m := fake(nil, nil)
	m.cfg.AddressError = errors.New("this host has no address")
	expect(t, m.uplink(t.Context()), "error network.address: no address", "warning network.uplink: no default route")
	m = fake(map[string]string{"proc/net/route": "Iface\nwg0\t00000000\t0\t0003\t0\t0\t0\t00000000\n"}, nil)
	m.probe.MTU = func(string) (int, error) { return 1200, nil }
	expect(t, m.uplink(t.Context()), "warning network.mtu: wg0 is 1200")
}

func TestLimits(t *testing.T) {
	m := fake(map[string]string{"proc/sys/fs/inotify/max_user_instances": "128", "proc/sys/fs/inotify/max_user_watches": "100000", "proc/self/status": "CapEff:\t0000000000000000\n"}, nil)
	m.nofile = func() uint64 { return 1024 }
	expect(t, m.limits(t.Context()), "warning host.inotify: 128", "warning host.open-files: 1024", "info host.oom-score: CAP_SYS_RESOURCE")
	m.inotify = func() error { return syscall.EMFILE }
	expect(t, m.limits(t.Context()), "warning host.inotify: in use now", "warning host.open-files: 1024", "info host.oom-score: CAP_SYS_RESOURCE")
	if !strings.Contains(finding.New(finding.Inotify, finding.Warning, "x").Remedy, "sysctl") {
		t.Error("the remedy names no command")
	}
}
