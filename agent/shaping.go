package agent

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"

	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/kedge-io/kedge/agent/bandwidth"
	"github.com/kedge-io/kedge/agent/bandwidth/cgroup"
	"github.com/kedge-io/kedge/agent/bandwidth/inventory"
	"github.com/kedge-io/kedge/agent/bandwidth/metrics"
	"github.com/kedge-io/kedge/agent/bandwidth/report"
	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/agent/bandwidth/uplink"
	"github.com/kedge-io/kedge/agent/network"
	"github.com/kedge-io/kedge/agent/runtime"
	"github.com/kedge-io/kedge/agent/runtime/pods"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/wire"
)

// shaping is all that keeps the bandwidth of pods.
type shaping struct {
	*bandwidth.Bandwidth
	hooks    *runtime.Hooks
	pods     *inventory.Inventory
	uplinks  *uplink.Watcher
	reporter *report.Reporter
	machine  *bandwidth.Machine
}

func (a *Agent) newShaping(cluster stack, own *network.Range) (*shaping, error) {
	log := a.log.With("component", bandwidth.Name)
	folders := cgroup.New(cgroup.NewConfig(a.cfg.Layout, a.cfg.CgroupRoot), log)
	s := &shaping{machine: bandwidth.NewMachine(a.log)}
	s.pods = inventory.New(folders, log, func(err error) { s.Lost(err) })
	s.hooks = runtime.NewHooks(a.runtimeConfig(), pods.Together(s.pods, a.firewall.Observer()), a.log, a.reporter(runtime.HooksName))
	if folders.Mirrored() {
		s.hooks.FollowProcesses()
	}
	var err error
	if s.uplinks, err = uplink.New(a.cfg.Uplink, log); err != nil {
		return nil, err
	}
	s.reporter, err = report.New(report.Config{NodeName: a.cfg.NodeName, Kubeconfig: a.id.Files.AgentConfig}, log)
	if err != nil {
		return nil, err
	}
	s.Bandwidth, err = bandwidth.New(bandwidth.Config{
		NodeName: a.cfg.NodeName, Kubeconfig: a.id.Files.AgentConfig,
		StateFile:   filepath.Join(a.cfg.Layout.Agent(), "bandwidth.json"),
		ClassesFile: filepath.Join(a.cfg.Layout.RunDir, "bandwidth-classes.json"),
		Local:       func() []netip.Prefix { return local(cluster, own) },
		Services:    cluster.services,
	}, bandwidth.Parts{
		Inventory: s.pods, Uplinks: s.uplinks, Kernel: s.machine, Reporter: s.reporter,
		Changed: []<-chan struct{}{s.pods.Subscribe(), s.uplinks.Subscribe()},
		Beside:  []func(context.Context) error{s.pods.Run, s.uplinks.Run},
	}, a.log, a.reporter(bandwidth.Name))
	return s, err
}

// components need nothing but the runtime: a pod that runs is shaped as soon as
// the runtime has told of it, be there a server or not.
func (s *shaping) components() []lifecycle.Component {
	c := s.Component()
	run := c.Run
	c.Run = func(ctx context.Context, ready func()) error {
		defer func() { _ = s.machine.Close() }()
		figures := metrics.New(func() (snapshot.Node, error) { return s.Snapshot(), nil })
		if err := legacyregistry.Registerer().Register(figures); err != nil {
			return fmt.Errorf("register the metrics of bandwidth: %w", err)
		}
		return run(ctx, ready)
	}
	return []lifecycle.Component{c, s.hooks.Component(runtime.ComponentName)}
}

// local are the addresses that pods reach without any uplink.
func local(cluster stack, pods *network.Range) []netip.Prefix {
	all := []netip.Prefix{netip.PrefixFrom(cluster.dns, cluster.dns.BitLen())}
	if cluster.api.IsValid() {
		all = append(all, netip.PrefixFrom(cluster.api, cluster.api.BitLen()))
	}
	if own := pods.PodCIDR(); own.IsValid() {
		all = append(all, own)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return all // those of the host count as elsewhere then
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		addr, _ := netip.AddrFromSlice(n.IP)
		if addr = addr.Unmap(); addr.Is4() && !addr.IsLoopback() {
			all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits()) })
	return slices.Compact(all)
}

// BandwidthHandlers are what kedge bandwidth asks for, by path, for the status
// socket; none before Components.
func (a *Agent) BandwidthHandlers() map[string]http.Handler {
	if a.shaping == nil {
		return nil
	}
	handlers := a.shaping.Handlers()
	for path, h := range handlers {
		handlers[path] = a.ownOnly(h)
	}
	return handlers
}

// ownOnly answers questions about this node.
func (a *Agent) ownOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if node := r.URL.Query().Get(snapshot.QueryNode); node != "" && node != a.cfg.NodeName {
			http.Error(w, fmt.Sprintf("this is node %q: ask for %q on a server", a.cfg.NodeName, node), http.StatusNotFound)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// asked is what the server may ask this node through the link.
func (a *Agent) asked() http.Handler {
	mux := http.NewServeMux()
	for _, handlers := range []map[string]http.Handler{a.BandwidthHandlers(), a.FirewallHandlers()} {
		for path, h := range handlers {
			mux.Handle("GET "+path, h)
		}
	}
	mux.Handle("POST "+wire.PathRenewNow, a.enroll.RenewHandler())
	return mux
}
