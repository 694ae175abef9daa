package kube

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	deviceplugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	"k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/apis/config/validation"

	"github.com/kedge-io/kedge/internal/kubeglobals"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/wire"
)

// newKubelet returns kubelet, ready when its health endpoint says so and the
// node is registered. What it registers with is put into made.
func newKubelet(cfg Config, made *registration, needs []string) lifecycle.Component {
	return lifecycle.Component{
		Name:  Kubelet,
		Needs: needs,
		Run: func(ctx context.Context, ready func()) error {
			server, err := kubeletServer(cfg)
			if err != nil {
				return err
			}
			if !await(ctx, cfg.After) {
				return ctx.Err()
			}
			for _, dir := range []string{cfg.staticPods(), server.RootDirectory, cfg.Layout.PodLogs()} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return fmt.Errorf("make a folder for kubelet: %w", err)
				}
			}
			if err := keepExtendedResources(deviceplugin.DevicePluginPath); err != nil {
				return err
			}
			deps, err := app.UnsecuredDependencies(ctx, server, utilfeature.DefaultFeatureGate)
			if err != nil {
				return fmt.Errorf("set up kubelet: %w", err)
			}
			if err := giveClients(ctx, cfg, server, deps, made); err != nil {
				return err
			}
			go func() {
				if awaitKubelet(ctx, cfg, server) {
					ready()
				}
			}()
			if err := app.Run(ctx, server, deps, utilfeature.DefaultFeatureGate); err != nil {
				return fmt.Errorf("run kubelet: %w", err)
			}
			return ctx.Err()
		},
	}
}

// kubeletServer builds kubelet's configuration: kedge's own choices first,
// then the flags of the user on top, as upstream's command does it.
func kubeletServer(cfg Config) (*options.KubeletServer, error) {
	if err := kubeglobals.Init(); err != nil {
		return nil, err
	}
	server, err := options.NewKubeletServer()
	if err != nil {
		return nil, fmt.Errorf("default configuration of kubelet: %w", err)
	}
	configureKubelet(cfg, &server.KubeletConfiguration)

	fs := pflag.NewFlagSet(Kubelet, pflag.ContinueOnError)
	server.AddFlags(fs)
	args := kubeglobals.Args(kubeletDefaults(cfg), cfg.KubeletArgs)
	if err := kubeglobals.Parse(fs, args, "--kubelet-arg"); err != nil {
		return nil, err
	}
	if err := options.ValidateKubeletServer(server); err != nil {
		return nil, fmt.Errorf("configuration of kubelet: %w", err)
	}
	if err := validation.ValidateKubeletConfiguration(&server.KubeletConfiguration, utilfeature.DefaultFeatureGate); err != nil {
		return nil, fmt.Errorf("configuration of kubelet: %w", err)
	}
	return server, nil
}

// configureKubelet sets what has no flag or reads better as a field.
func configureKubelet(cfg Config, c *kubeletconfig.KubeletConfiguration) {
	c.Address, c.Port, c.ReadOnlyPort = "127.0.0.1", KubeletPort, 0
	c.TLSCertFile, c.TLSPrivateKeyFile = cfg.ServingCert, cfg.ServingKey
	c.Authentication.X509.ClientCAFile = cfg.ClientCA
	c.Authentication.Anonymous.Enabled = false
	c.Authentication.Webhook.Enabled = true
	c.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook

	c.ContainerRuntimeEndpoint = "unix://" + cfg.ContainerdSocket
	c.StaticPodPath = cfg.staticPods()
	c.PodLogsDir = cfg.Layout.PodLogs()
	c.ResolverConfig = cfg.ResolvConf
	c.ClusterDomain = cfg.ClusterDomain
	if cfg.ClusterDNS.IsValid() {
		c.ClusterDNS = []string{cfg.ClusterDNS.String()}
	}

	c.CgroupDriver = "cgroupfs"
	if cfg.Host.SystemdCgroup {
		c.CgroupDriver = "systemd"
	}
	c.CgroupRoot = cfg.CgroupRoot
	c.FailCgroupV1 = !cfg.Host.CgroupV1
	c.FailSwapOn = false
	// The chains serve kube-proxy's iptables mode; in nftables mode they would
	// only be rules on the host that nobody uses.
	c.MakeIPTablesUtilChains = false
	if cfg.Host.OOMScoreFixed {
		c.OOMScoreAdj = 0
		// The same missing right keeps kubelet from raising its limit.
		c.MaxOpenFiles = min(c.MaxOpenFiles, openFiles())
	}
	c.SerializeImagePulls = false
	// Small disks: upstream's 15 % for images would evict from a half-full one.
	c.EvictionHard = map[string]string{
		"memory.available": "100Mi", "nodefs.available": "5%", "imagefs.available": "5%",
		"nodefs.inodesFree": "5%",
	}
	// The status of a healthy node is written every 5 min; the lease shows
	// that it lives.
	c.NodeStatusReportFrequency = metav1.Duration{Duration: 5 * time.Minute}
	c.ShutdownGracePeriod = metav1.Duration{}
}

func kubeletDefaults(cfg Config) map[string]string {
	flags := map[string]string{
		"cert-dir":          cfg.Layout.AgentTLS(),
		"hostname-override": cfg.NodeName,
		"kubeconfig":        cfg.Layout.LiveKubeletConfig(),
		"root-dir":          cfg.Layout.Kubelet(),
	}
	if len(cfg.NodeIPs) > 0 {
		flags["node-ip"] = joinAddrs(cfg.NodeIPs)
	}
	labels := cfg.NodeLabels
	if cfg.setsAddresses() {
		// Otherwise kubelet takes away addresses that it does not know itself,
		// and publishes the one of the default route.
		flags["cloud-provider"] = "external"
		labels = append([]string{wire.LabelAddresses + "=" + wire.AddressesDeclared}, labels...)
	}
	if len(labels) > 0 {
		flags["node-labels"] = strings.Join(labels, ",")
	}
	if len(cfg.NodeTaints) > 0 {
		flags["register-with-taints"] = strings.Join(cfg.NodeTaints, ",")
	}
	return flags
}

func joinAddrs(addrs []netip.Addr) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, ",")
}

// awaitKubelet waits until kubelet is healthy and the node is registered. It
// returns false when ctx ends first.
func awaitKubelet(ctx context.Context, cfg Config, server *options.KubeletServer) bool {
	healthy := func() bool {
		url := "http://" + server.HealthzBindAddress + ":" + strconv.Itoa(int(server.HealthzPort)) + "/healthz"
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	if !poll(ctx, 100*time.Millisecond, healthy) {
		return false
	}
	client, err := nodeClient(cfg)
	if err != nil {
		return false
	}
	return poll(ctx, 100*time.Millisecond, func() bool {
		_, err := client.CoreV1().Nodes().Get(ctx, cfg.NodeName, metav1.GetOptions{})
		return err == nil
	})
}

// await returns when gate is closed, at once for nil, or false when ctx ends
// first.
func await(ctx context.Context, gate <-chan struct{}) bool {
	if gate == nil {
		return true
	}
	select {
	case <-gate:
		return true
	case <-ctx.Done():
		return false
	}
}

// poll asks done at an interval until it says so. It returns false when ctx
// ends first.
func poll(ctx context.Context, interval time.Duration, done func() bool) bool {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

// openFiles is how many files this process may open at most.
func openFiles() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt64
	}
	return int64(min(limit.Max, math.MaxInt64))
}
