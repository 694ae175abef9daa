package kube

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"github.com/kedge-io/kedge/server/kube/shortage"
)

func TestSchedulerHasThePluginAndThePersonsFlags(t *testing.T) {
	opts := options.NewOptions()
	fs := pflag.NewFlagSet(Scheduler, pflag.ContinueOnError)
	for _, set := range opts.Flags.FlagSets {
		fs.AddFlagSet(set)
	}
	if err := fs.Parse([]string{"--kubeconfig=/k", "--leader-elect=false", "--kube-api-qps=77"}); err != nil {
		t.Fatal(err)
	}
	cfg := Config{SchedulerFile: filepath.Join(t.TempDir(), "scheduler.yaml")}
	if err := configureScheduler(cfg, opts); err != nil {
		t.Fatal(err)
	}
	c, err := options.LoadConfigFromFile(klog.Background(), opts.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	if c.ClientConnection.Kubeconfig != "/k" || c.ClientConnection.QPS != 77 || c.LeaderElection.LeaderElect {
		t.Errorf("flags became %+v %+v", c.ClientConnection, c.LeaderElection)
	}
	plugins := c.Profiles[0].Plugins
	ours := config.Plugin{Name: shortage.Name}
	if !slices.Contains(plugins.MultiPoint.Enabled, ours) || plugins.PostFilter.Enabled[0] != ours {
		t.Errorf("plugins are %+v", plugins)
	}
	if !slices.ContainsFunc(plugins.MultiPoint.Enabled, func(p config.Plugin) bool { return p.Name == "NodeResourcesFit" }) {
		t.Error("upstream's plugins are gone")
	}
}

func TestOwnSchedulerConfigurationIsKept(t *testing.T) {
	opts := options.NewOptions()
	opts.ConfigFile = "/etc/mine.yaml"
	if err := configureScheduler(Config{}, opts); err != nil || opts.ConfigFile != "/etc/mine.yaml" {
		t.Errorf("%v, %s", err, opts.ConfigFile)
	}
}
