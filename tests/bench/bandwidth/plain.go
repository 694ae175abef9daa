package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/bed"
)

// plainPods is how many namespaces the host without kedge has, and plainEnds in how many of
// them traffic runs.
const (
	plainPods = 200
	plainEnds = 2
)

// plain is a host without kedge. Its namespaces p0.. hang on veth pairs; the host's end
// has the name of the namespace.
type plain struct {
	t    *attempted
	host *lab.Host
	o    options
}

func newPlain(t *attempted, b *bench) *plain {
	p := &plain{t: t, host: b.Lab.Host("edge3"), o: b.o}
	p.run(namespaces(plainPods))
	for i := range plainEnds {
		_, err := p.host.Start(fmt.Sprint("traffic", i), "nsenter", "--net=/run/netns/"+name(i), b.Program)
		cluster.Must(t, err)
		testx.Eventually(t, cluster.Patience, "traffic listens", func(ctx context.Context) error {
			_, err := cluster.Fetch(ctx, cluster.HTTP(p.host), "GET", "http://"+p.end(i).Addr+"/")
			return err
		})
	}
	return p
}

func name(i int) string { return fmt.Sprint("p", i) }

// addresses are those of the host's end and of the namespace's.
func addresses(i int) (host, pod string) {
	base := fmt.Sprintf("10.99.%d.", i/64)
	return base + fmt.Sprint(i%64*4+1), base + fmt.Sprint(i%64*4+2)
}

// namespaces is a shell script that makes n of them with a way out.
func namespaces(n int) string {
	var b strings.Builder
	b.WriteString("set -e\necho 1 > /proc/sys/net/ipv4/ip_forward\n")
	b.WriteString("nft 'table ip plain { chain post { type nat hook postrouting priority srcnat; ip saddr 10.99.0.0/16 oifname eth0 masquerade; }; }'\n")
	for i := range n {
		host, pod := addresses(i)
		fmt.Fprintf(&b, `ip netns add %[1]s
ip link add %[1]s type veth peer name eth0 netns %[1]s
ip addr add %[2]s/30 dev %[1]s
ip link set %[1]s up
ip -n %[1]s -batch - <<'EOF'
addr add %[3]s/30 dev eth0
link set eth0 up
link set lo up
route add default via %[2]s
EOF
`, name(i), host, pod)
	}
	return b.String()
}

// run runs a shell script on the host.
func (p *plain) run(script string) string {
	p.t.Helper()
	out, errOut, err := p.host.RunInput(p.t.Context(), []byte(script), "sh")
	if err != nil {
		p.t.Fatalf("%.100s: %v: %s", script, err, errOut)
	}
	return out
}

// end is the traffic in namespace i.
func (p *plain) end(i int) bed.End {
	_, pod := addresses(i)
	return bed.End{Host: p.host, Addr: pod + ":9000"}
}

// limit calls the plugin as containerd does for a pod with the annotations of Kubernetes.
func (p *plain) limit(i, mbit int) {
	p.t.Helper()
	_, errOut, err := p.host.RunInput(p.t.Context(), pluginConfig(i, mbit), pluginCommand(p.o.plugin, "ADD", i)...)
	if err != nil {
		p.t.Fatalf("plugin ADD: %v: %s", err, errOut)
	}
}

// unlimit removes what the plugin made. Its DEL leaves to the end of the veth pair what is
// on it.
func (p *plain) unlimit(i int) {
	p.t.Helper()
	_, errOut, err := p.host.RunInput(p.t.Context(), pluginConfig(i, 10), pluginCommand(p.o.plugin, "DEL", i)...)
	if err != nil {
		p.t.Fatalf("plugin DEL: %v: %s", err, errOut)
	}
	p.run(fmt.Sprintf("tc qdisc del dev %[1]s root; tc qdisc del dev %[1]s ingress", name(i)))
}

func pluginCommand(plugin, verb string, i int) []string {
	return []string{
		"env", "CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + name(i), "CNI_NETNS=/run/netns/" + name(i),
		"CNI_IFNAME=eth0", "CNI_PATH=/", plugin,
	}
}

// pluginConfig is what a runtime hands to the plugin for a pod with a rate in both
// directions and no burst: containerd then says the largest number.
func pluginConfig(i, mbit int) []byte {
	const burst = 1<<32 - 1 // bits
	rate := mbit * mega
	text, _ := json.Marshal(map[string]any{
		"cniVersion": "1.0.0", "name": "plain", "type": "bandwidth",
		"runtimeConfig": map[string]any{"bandwidth": map[string]any{
			"ingressRate": rate, "ingressBurst": burst, "egressRate": rate, "egressBurst": burst,
		}},
		"prevResult": map[string]any{
			"cniVersion": "1.0.0",
			"interfaces": []map[string]string{{"name": name(i)}, {"name": "eth0", "sandbox": "/run/netns/" + name(i)}},
		},
	})
	return text
}
