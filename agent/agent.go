package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"

	"github.com/kedge-io/kedge/agent/apilb"
	"github.com/kedge-io/kedge/agent/dns"
	"github.com/kedge-io/kedge/agent/enroll"
	"github.com/kedge-io/kedge/agent/firewall"
	"github.com/kedge-io/kedge/agent/host"
	"github.com/kedge-io/kedge/agent/kube"
	"github.com/kedge-io/kedge/agent/network"
	"github.com/kedge-io/kedge/agent/registries"
	"github.com/kedge-io/kedge/agent/runtime"
	"github.com/kedge-io/kedge/agent/runtime/bundle"
	"github.com/kedge-io/kedge/internal/clusternet"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/pipe"
	"github.com/kedge-io/kedge/tunnel/spoke"
)

// Report tells the group about trouble of a component that runs, and with nil
// that it is over.
type Report func(component string, err error)

// Agent is a node that has its identity and its programs and does not run yet.
type Agent struct {
	cfg    Config
	log    *slog.Logger
	report Report
	facts  host.Facts
	enroll *enroll.Enroll
	id     enroll.Identity
	way    way
	// Those are there from Components on: the node's own end of the API, what keeps
	// the bandwidth of pods, and the firewall.
	entry    *apilb.Endpoint
	shaping  *shaping
	firewall *firewall.Firewall
	// servers are the sockets to servers.
	servers *firewall.Way
}

// Check tells whether a node can be made of this host at all, and what the
// host is like. It changes nothing.
func Check(ctx context.Context, cfg Config) (host.Facts, error) {
	if err := cfg.Validate(); err != nil {
		return host.Facts{}, err
	}
	facts := host.NewProbe().Detect(ctx, cfg.Layout.DataDir)
	return facts, facts.Preflight()
}

// New makes the node's identity ready, from disk or by joining, which may take
// until the join timeout. Before that, the last rules of the firewall are in force.
// facts are those of [Check]. Nothing runs afterwards.
func New(ctx context.Context, cfg Config, facts host.Facts, log *slog.Logger, report Report) (*Agent, error) {
	a := &Agent{cfg: cfg, log: log, report: report, facts: facts, servers: firewall.NewWay()}
	a.restoreFirewall(ctx)
	var err error
	a.enroll, err = enroll.New(enroll.Config{
		Layout: cfg.Layout, Server: cfg.ServerURL, Token: cfg.Token, NodeName: cfg.NodeName, NodeIPs: cfg.NodeIPs,
		JoinTimeout: cfg.JoinTimeout, Issue: cfg.Issue, ServerCA: cfg.ServerCA, Proxy: cfg.Proxy, Now: cfg.Now, Learn: cfg.Learn,
		NetDial: a.servers.Dial, Lookup: a.servers.Lookup,
		Report: a.reporter(enroll.ComponentName),
	}, log.With("component", enroll.ComponentName))
	if err != nil {
		return nil, err
	}
	if err := a.enroll.Join(ctx); err != nil {
		return nil, err
	}
	a.id = a.enroll.Identity()
	return a, nil
}

// Adaptations are what the host lacks and kedge works around.
func (a *Agent) Adaptations() []host.Condition { return a.facts.Adaptations() }

func (a *Agent) reporter(component string) func(error) {
	return func(err error) { a.report(component, err) }
}

// Components returns the parts of the node. api names what must be ready
// before the API can be reached; empty on a machine without a server.
func (a *Agent) Components(api ...string) ([]lifecycle.Component, error) {
	server, err := serverHostPort(a.cfg.ServerURL)
	if err != nil {
		return nil, err
	}
	cluster, err := singleStack(a.id.Cluster)
	if err != nil {
		return nil, err
	}
	ways := a.dialer(server)
	if err := a.endpoint(server, cluster, ways); err != nil {
		return nil, err
	}
	containerd, err := runtime.NewContainerd(a.runtimeConfig(), a.log, a.reporter(runtime.ComponentName))
	if err != nil {
		return nil, err
	}
	hosts, err := a.newRegistries()
	if err != nil {
		return nil, err
	}
	images, err := runtime.NewImages(a.runtimeConfig(), a.log, a.reporter(runtime.ImagesName))
	if err != nil {
		return nil, err
	}
	reach, err := a.newReach()
	if err != nil {
		return nil, err
	}
	pods, err := network.New(network.Config{
		NodeName: a.cfg.NodeName, ClusterCIDR: cluster.pods, Kubeconfig: a.id.Files.AgentConfig,
		ConfDir: a.cfg.Layout.CNIConfig(), StateDir: a.cfg.Layout.CNIState(), NodeIPs: a.cfg.namedIPs(),
		HostPorts: reach.hostPorts, HostPortsChanged: reach.ports.Subscribe(),
		ProbeKeyFile: a.cfg.Layout.ProbeKey(),
	}, a.log, a.reporter(network.Name))
	if err != nil {
		return nil, err
	}
	if a.firewall, err = a.newFirewall(server, cluster, reach.pods, ways); err != nil {
		return nil, err
	}
	if a.shaping, err = a.newShaping(cluster, reach.pods); err != nil {
		return nil, err
	}
	names, err := dns.New(dns.Config{
		Address: cluster.dns, PodLink: network.BridgeName, Domain: a.id.Cluster.ClusterDomain, Kubeconfig: a.id.Files.AgentConfig,
		ResolvConf: a.cfg.ResolvConf,
	}, a.log, a.reporter(dns.Name))
	if err != nil {
		return nil, err
	}
	rights := []string{apilb.Name}
	if a.cfg.Rights != "" {
		rights = append(rights, a.cfg.Rights)
	}
	comps := []lifecycle.Component{
		a.firewall.Component(),
		a.enrolment(),
		a.entry.Component(append([]string{enroll.ComponentName}, api...)...),
		a.programs(),
		hosts.Component(),
		containerd.Component(programsName, registries.Name),
		images.Component(),
		reach.component(),
		pods.Component(rights...),
		a.relay().Component(network.Name),
		names.Component(rights...),
	}
	comps = append(comps, a.shaping.components()...)
	comps = append(comps, kube.Components(a.kubeConfig(cluster, pods), a.log, a.report, apilb.Name, runtime.ComponentName, runtime.HooksName)...)
	if a.cfg.Issue != nil {
		return comps, nil
	}
	link, err := a.link(reach, ways)
	if err != nil {
		return nil, err
	}
	return append(comps, link), nil
}

// programsName is the component that puts the runtime bundle on disk.
const programsName = "programs"

// programs unpacks the runtime bundle. It is a component of its own because
// decompressing and syncing take half a second, in which a server's datastore
// and API start as well.
func (a *Agent) programs() lifecycle.Component {
	return lifecycle.Component{Name: programsName, Run: func(ctx context.Context, ready func()) error {
		if _, err := bundle.Unpack(ctx, a.cfg.Layout.Data()); err != nil {
			return fmt.Errorf("unpack the runtime bundle: %w", err)
		}
		ready()
		runtime.KeepSlotsSwept(ctx, a.cfg.Layout, a.log)
		return ctx.Err()
	}}
}

// enrolment is the component without its Prepare: [New] has joined already.
func (a *Agent) enrolment() lifecycle.Component {
	c := a.enroll.Component()
	c.Prepare = nil
	return c
}

func (a *Agent) link(reach *reach, ways *pipe.Dialer) (lifecycle.Component, error) {
	files := a.id.Files
	s, err := spoke.New(spoke.Config{
		Server: a.cfg.ServerURL, CAFile: files.ServerCA,
		CertFile: files.KubeletClientCert, KeyFile: files.KubeletClientKey,
		Rules:    reach.rules,
		NetDial:  ways.DialContext,
		Now:      a.cfg.Now,
		Report:   a.reporter(spoke.Component),
		Software: a.cfg.Version,
		Packet:   a.way.receive,
		Status:   a.asked(),
		Firewall: a.firewall.Serve,
	}, a.log)
	if err != nil {
		return lifecycle.Component{}, err
	}
	a.way.spoke.Store(s)
	// Ready means that a dial came back, and what is dialled is kubelet.
	return a.measured(s.Component(enroll.ComponentName, kube.Kubelet)), nil
}

func (a *Agent) runtimeConfig() runtime.Config {
	c := runtime.Config{
		Layout: a.cfg.Layout, Env: a.cfg.Env, SystemdCgroup: a.facts.SystemdCgroup(),
		RestrictOOMScore: !a.facts.SysResource, Debug: a.cfg.Debug,
	}
	if !a.facts.Overlay() {
		c.Snapshotter = runtime.SnapshotterNative
	}
	return c
}

func (a *Agent) kubeConfig(cluster stack, pods *network.Network) kube.Config {
	c := kube.Config{
		Layout: a.cfg.Layout, NodeName: a.cfg.NodeName, NodeIPs: a.cfg.namedIPs(), ExternalIPs: a.cfg.ExternalIPs,
		Annotations: pods.Annotations, Reannotate: pods.Reannotate(),
		Resources: a.shaping.reporter.Resources, Republish: a.shaping.reporter.Changed(),
		NodeLabels: a.cfg.Labels, NodeTaints: a.cfg.Taints,
		ClientCA: a.id.Files.ClientCA, ServingCert: a.id.Files.KubeletServingCert, ServingKey: a.id.Files.KubeletServingKey,
		ContainerdSocket: a.cfg.Layout.ContainerdSocket(),
		ClusterCIDR:      cluster.pods, ClusterDNS: cluster.dns, ClusterDomain: a.id.Cluster.ClusterDomain,
		ResolvConf: a.cfg.ResolvConf, CgroupRoot: a.cfg.CgroupRoot,
		After:       a.cfg.KubeletAfter,
		Now:         a.cfg.Now,
		KubeletArgs: a.cfg.KubeletArgs, KubeProxyArgs: a.cfg.KubeProxyArgs,
		Host: kube.Host{
			CgroupV1:      a.facts.Cgroup != host.CgroupV2,
			SystemdCgroup: a.facts.SystemdCgroup(),
			OOMScoreFixed: !a.facts.SysResource,
		},
	}
	if a.cfg.Issue == nil {
		c.Reclaim = func(ctx context.Context) error { return a.enroll.RenewNow(ctx, false) }
	}
	for _, f := range a.facts.Adaptations() {
		c.Host.Conditions = append(c.Host.Conditions, kube.Condition{Type: f.Name, Message: f.Message})
	}
	return c
}

// stack is the one address family that pods have so far.
type stack struct {
	pods     netip.Prefix
	dns      netip.Addr
	services []netip.Prefix
	// api is the address of the service kubernetes; invalid where the server
	// told no service range.
	api netip.Addr
}

func singleStack(c wire.ClusterConfig) (stack, error) {
	if len(c.ClusterCIDRs) == 0 || len(c.ClusterDNS) == 0 {
		return stack{}, errors.New("the server told no pod range or DNS address: remove the node's agent folder and join again")
	}
	s := stack{pods: c.ClusterCIDRs[0], dns: c.ClusterDNS[0], services: c.ServiceCIDRs}
	if len(c.ServiceCIDRs) > 0 && c.ServiceCIDRs[0].Addr().Is4() {
		s.api = clusternet.Nth(c.ServiceCIDRs[0], 1)
	}
	return s, nil
}

// serverHostPort turns the URL of the server into an address to dial.
func serverHostPort(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("--server %q must look like https://HOST:6443", server)
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "443"), nil
	}
	return u.Host, nil
}
