package kube

import (
	"bytes"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	configv1 "k8s.io/kube-scheduler/config/v1"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/server/kube/shortage"
)

// configureScheduler adds kedge's plugin to upstream's default profile. Flags of
// a person count as without it; one who has a configuration file keeps it and
// may name the plugin there.
func configureScheduler(cfg Config, opts *options.Options) error {
	if opts.ConfigFile != "" {
		return nil
	}
	c, err := latest.Default()
	if err != nil {
		return fmt.Errorf("default configuration of the scheduler: %w", err)
	}
	opts.ComponentConfig = c
	opts.ApplyDeprecated()
	opts.ApplyLeaderElectionTo(c)
	addShortage(c)
	raw, err := encodeScheduler(c)
	if err != nil {
		return fmt.Errorf("write the scheduler's configuration: %w", err)
	}
	if _, err := fsx.WriteFileIfChanged(cfg.SchedulerFile, raw, 0o600); err != nil {
		return fmt.Errorf("write the scheduler's configuration: %w", err)
	}
	opts.ConfigFile = cfg.SchedulerFile
	return nil
}

// addShortage names the plugin twice: what stands both under multiPoint and at
// its own extension point comes before upstream's, and preemption, which is
// asked at the same point, may end the round.
func addShortage(c *config.KubeSchedulerConfiguration) {
	plugin := config.Plugin{Name: shortage.Name}
	for i := range c.Profiles {
		plugins := c.Profiles[i].Plugins
		plugins.MultiPoint.Enabled = append(plugins.MultiPoint.Enabled, plugin)
		plugins.PostFilter.Enabled = append([]config.Plugin{plugin}, plugins.PostFilter.Enabled...)
	}
}

func encodeScheduler(c *config.KubeSchedulerConfiguration) ([]byte, error) {
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeYAML)
	if !ok {
		return nil, fmt.Errorf("no serializer for %s", runtime.ContentTypeYAML)
	}
	var b bytes.Buffer
	err := scheme.Codecs.EncoderForVersion(info.Serializer, configv1.SchemeGroupVersion).Encode(c, &b)
	return b.Bytes(), err
}
