package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/agent/host"
	"github.com/kedge-io/kedge/agent/runtime/bundle"
	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// restartAfter is how long a service manager waits before it starts a program
// again that has ended: systemd units in the field say 1 to 10 s.
const restartAfter = time.Second

// baseline is upstream's programs, each a process of its own, all started at
// once and started again when they give up: what service units do.
type baseline struct {
	host           *lab.Host
	path           string // of the executable of tests/bench/upstream
	kedge          string // for its ctr
	facts          host.Facts
	certs          certs.Paths
	slot           bundle.Slot
	cancel         context.CancelFunc
	running        sync.WaitGroup
	kubelet, proxy string // kubeconfigs
	serving        certs.Pair
}

func (b *baseline) name() string { return "separate processes" }

// static is a folder that the machine and the host see under the same name.
func (b *baseline) static(name string) string { return filepath.Join(b.host.Dir(), "static", name) }

func (b *baseline) prepare(ctx context.Context) error {
	if err := os.MkdirAll(b.static(""), 0o755); err != nil {
		return err
	}
	if err := copyProgram(b.path, b.host.OnDisk("/usr/local/bin/upstream")); err != nil {
		return err
	}
	if err := copyProgram(b.kedge, b.host.OnDisk("/usr/local/bin/kedge")); err != nil {
		return err
	}
	if err := cluster.InstallApp(ctx, b.host, b.static("data")); err != nil {
		return err
	}
	b.facts = host.NewProbe().Detect(ctx, b.host.Dir())
	var err error
	if b.slot, err = bundle.Unpack(ctx, b.static("bundle")); err != nil {
		return err
	}
	if err := b.certificates(); err != nil {
		return fmt.Errorf("certificates of the baseline: %w", err)
	}
	return b.configure()
}

// certificates makes the same files that kedge makes for itself.
func (b *baseline) certificates() error {
	addr, err := netip.ParseAddr(b.host.IP())
	if err != nil {
		return err
	}
	now := time.Now()
	b.certs, err = certs.Ensure(certs.Config{
		Layout: paths.New(b.static("certs")), NodeName: b.host.Name(), ClusterDomain: "cluster.local",
		ServiceIPs: []netip.Addr{netip.MustParseAddr("10.43.0.1")}, AdvertiseAddress: addr,
		NodeIPs: []netip.Addr{addr}, HTTPSPort: 6443,
	}, now, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return err
	}
	// The separate programs read the files themselves.
	for path, pair := range map[string]certs.Pair{
		b.certs.ControllerManagerKubeconfig: b.certs.ControllerManager, b.certs.SchedulerKubeconfig: b.certs.Scheduler,
	} {
		k := kubeclient.Kubeconfig{
			Server: "https://127.0.0.1:6443", User: "part", CAFile: b.certs.ServerCA.Cert, CertFile: pair.Cert, KeyFile: pair.Key,
		}
		if _, err := k.Write(path, 0o600); err != nil {
			return err
		}
	}
	client, err := pki.EnsureCA(b.certs.ClientCA.Cert, b.certs.ClientCA.Key, "", now)
	if err != nil {
		return err
	}
	kubelets, err := pki.EnsureCA(b.certs.KubeletCA.Cert, b.certs.KubeletCA.Key, "", now)
	if err != nil {
		return err
	}
	b.serving = certs.Pair{Cert: b.static("serving-kubelet.crt"), Key: b.static("serving-kubelet.key")}
	if _, _, err := pki.EnsureLeaf(b.serving.Cert, b.serving.Key, kubelets, pki.NodeServing(b.host.Name(), []netip.Addr{addr}), now); err != nil {
		return err
	}
	b.kubelet, b.proxy = b.static("kubelet.kubeconfig"), b.static("kube-proxy.kubeconfig")
	for path, names := range map[string]pki.Names{
		b.kubelet: pki.NodeClient(b.host.Name(), wire.Pin{}), b.proxy: pki.ProxyClient(wire.Pin{}),
	} {
		k := kubeclient.Kubeconfig{
			Server: "https://127.0.0.1:6443", User: "node", CAFile: b.certs.ServerCA.Cert,
			CertFile: path + ".crt", KeyFile: path + ".key",
		}
		if _, _, err := pki.EnsureLeaf(k.CertFile, k.KeyFile, client, names, now); err != nil {
			return err
		}
		if _, err := k.Write(path, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (b *baseline) start(ctx context.Context) error {
	ctx, b.cancel = context.WithCancel(ctx)
	for _, u := range b.units() {
		if err := os.MkdirAll(b.host.Path(dataDir+"/"+u.name), 0o700); err != nil {
			return err
		}
		b.running.Go(func() { b.supervise(ctx, u) })
	}
	b.running.Go(func() { b.connectPods(ctx) })
	return nil
}

// connectPods writes the network configuration once the node has its range, as
// the agent of a network add-on does.
func (b *baseline) connectPods(ctx context.Context) {
	_ = testx.Poll(ctx, func(ctx context.Context) error {
		c, err := client(b)
		if err != nil {
			return err
		}
		node, err := c.CoreV1().Nodes().Get(ctx, b.host.Name(), metav1.GetOptions{})
		if err != nil || node.Spec.PodCIDR == "" {
			return fmt.Errorf("the node has no range: %w", err)
		}
		path := b.static("cni/10-bench.conflist")
		if err := os.WriteFile(path+".new", fmt.Appendf(nil, cniConfig, node.Spec.PodCIDR), 0o600); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	})
}

// supervise runs a program again and again until ctx ends; once is for those
// that are done when they have succeeded.
func (b *baseline) supervise(ctx context.Context, u unit) {
	for ctx.Err() == nil {
		p, err := b.host.StartEnv(u.name, []string{"PATH=" + b.slot.Bin() + ":/usr/sbin:/usr/bin:/sbin:/bin"}, u.argv...)
		if err == nil {
			err = p.Wait(ctx)
			if ctx.Err() != nil {
				_ = p.Kill()
				return
			}
		}
		if err == nil && u.once {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(restartAfter):
		}
	}
}

func (b *baseline) stop() {
	b.cancel()
	b.running.Wait()
}

func (b *baseline) config() (*rest.Config, error) {
	config, err := kubeclient.FromFile(b.certs.AdminKubeconfig, "bench")
	if err != nil {
		return nil, err
	}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return b.host.DialContext(ctx, network, address)
	}
	config.Timeout = 30 * time.Second
	// The same as for kedge's kubeconfig.
	config.ContentType, config.AcceptContentTypes = "", ""
	return config, nil
}
