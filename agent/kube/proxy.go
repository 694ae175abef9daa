package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/kubernetes/cmd/kube-proxy/app"

	"github.com/kedge-io/kedge/internal/kubeglobals"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// proxyTable is the nftables table that kube-proxy makes (upstream's
// pkg/proxy/nftables).
const proxyTable = "kube-proxy"

// newProxy returns kube-proxy in nftables mode, ready when its table was read
// back from the kernel. It starts when addressed is closed, because upstream
// reads the node's addresses once.
func newProxy(cfg Config, report func(name string, err error), addressed <-chan struct{}) lifecycle.Component {
	return lifecycle.Component{
		Name: Proxy,
		// kube-proxy waits at most 30 s for its Node and then gives up.
		Needs: []string{Kubelet},
		Run: func(ctx context.Context, ready func()) error {
			if err := kubeglobals.Init(); err != nil {
				return err
			}
			if !await(ctx, addressed) {
				return ctx.Err()
			}
			opts := app.NewOptions()
			fs := pflag.NewFlagSet(Proxy, pflag.ContinueOnError)
			opts.AddFlags(fs)
			args := kubeglobals.Args(proxyDefaults(cfg), cfg.KubeProxyArgs)
			if err := kubeglobals.Parse(fs, args, "--kube-proxy-arg"); err != nil {
				return err
			}
			if err := opts.Complete(fs); err != nil {
				return fmt.Errorf("complete the options of kube-proxy: %w", err)
			}
			if err := opts.Validate(); err != nil {
				return fmt.Errorf("options of kube-proxy: %w", err)
			}
			go func() {
				if poll(ctx, 100*time.Millisecond, func() bool { return proxyTableExists(ctx) }) {
					ready()
					watchProxyTable(ctx, func(err error) { report(Proxy, err) })
				}
			}()
			// Upstream's Run does not heed the context, so it is left behind
			// at a stop; the process ends soon after.
			failed := make(chan error, 1)
			go func() { failed <- opts.Run(ctx) }()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-failed:
				return fmt.Errorf("run kube-proxy: %w", err)
			}
		},
	}
}

// errNoProxyTable tells of a flush by somebody else, for instance by a restart
// of the service nftables. Upstream does not look at its table: it writes it
// anew only when a change fails, and otherwise once an hour.
var errNoProxyTable = errors.New("somebody removed the nftables table " + proxyTable +
	": services are reachable again after the next change of one, at the latest in an hour; restart kedge to have it at once")

// watchProxyTable reports when the table goes and comes, until ctx ends.
func watchProxyTable(ctx context.Context, report func(error)) {
	ticker := time.NewTicker(30 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var err error
		if !proxyTableExists(ctx) {
			err = errNoProxyTable
		}
		if ctx.Err() == nil {
			report(err)
		}
	}
}

func proxyTableExists(ctx context.Context) bool {
	out, err := exec.CommandContext(ctx, "nft", "list", "tables").Output()
	return err == nil && strings.Contains(string(out), " "+proxyTable+"\n")
}

func proxyDefaults(cfg Config) map[string]string {
	flags := map[string]string{
		"cluster-cidr":         cfg.ClusterCIDR.String(),
		"detect-local-mode":    "ClusterCIDR",
		"healthz-bind-address": "127.0.0.1",
		"hostname-override":    cfg.NodeName,
		"kubeconfig":           cfg.Layout.LiveProxyConfig(),
		"metrics-bind-address": "127.0.0.1",
		// In nftables mode upstream's default is the internal address alone, and
		// people use that of the site.
		"nodeport-addresses": "0.0.0.0/0",
		"oom-score-adj":      "-999",
		"proxy-mode":         "nftables",
	}
	if cfg.Host.OOMScoreFixed {
		flags["oom-score-adj"] = "0"
	}
	// The size of the connection table belongs to the host's own network
	// namespace; in any other one the file is read-only.
	if !writable("/proc/sys/net/netfilter/nf_conntrack_max") {
		flags["conntrack-max-per-core"] = "0"
		flags["conntrack-min"] = "0"
	}
	return flags
}

func writable(path string) bool {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}
