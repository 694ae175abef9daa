package runtime

import (
	"bytes"
	"fmt"
	goruntime "runtime"
	"strconv"
	"text/template"
)

// oomScore of containerd where it may be set: just above what the kernel never
// kills.
const oomScore = -999

// configTemplate is containerd's configuration, version 4. Paths lead through
// the stable "current" link of the bundle, so that containers made before an
// upgrade find their runc after it and an upgrade alone does not change the
// text.
var configTemplate = template.Must(template.New("config.toml").Funcs(template.FuncMap{"q": strconv.Quote}).Parse(
	`# Written by kedge at every start: changes here are lost.
# Put your own settings into files of the folder config.toml.d beside this one.
version = 4
root = {{q .Root}}
state = {{q .State}}
oom_score = {{.OOMScore}}
imports = [{{q .Imports}}]
required_plugins = ["io.containerd.grpc.v1.cri"]

[debug]
  level = {{q .LogLevel}}

[plugins."io.containerd.server.v1.grpc"]
  address = {{q .Socket}}

[plugins."io.containerd.server.v1.ttrpc"]
  address = {{q .TTRPC}}

[plugins."io.containerd.shim.v1.manager"]
  socket_dir = {{q .ShimSockets}}

[plugins."io.containerd.cri.v1.images"]
  snapshotter = {{q .Snapshotter}}
  stats_collect_period = 60
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = {{q .SandboxImage}}
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = {{q .CertsDir}}

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = {{.RestrictOOMScore}}
  netns_mounts_under_state_dir = true
  stats_collect_period = "10s"
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = [{{q .Bin}}]
    conf_dir = {{q .CNIConfig}}
    max_conf_num = 1
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      runtime_path = {{q .Shim}}
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = {{q .Runc}}
        Root = {{q .RuncState}}
        SystemdCgroup = {{.SystemdCgroup}}

[plugins."io.containerd.nri.v1.nri"]
  disable = false
  socket_path = {{q .NRISocket}}
  plugin_path = {{q .NRIPlugins}}
  plugin_config_path = {{q .NRIConfig}}
  plugin_registration_timeout = "5s"
  plugin_request_timeout = "10s"

[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
{{- if .UnpackPlatform}}

[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = {{q .UnpackPlatform}}
  snapshotter = {{q .Snapshotter}}
  differ = "walking"
{{- end}}
`))

// configText renders the configuration file for c, which has its defaults.
func (c Config) configText() ([]byte, error) {
	l := c.Layout
	v := struct {
		Root, State, Imports, Socket, LogLevel, ShimSockets, TTRPC string
		Snapshotter, SandboxImage, CertsDir, Bin, CNIConfig        string
		Shim, Runc, RuncState, UnpackPlatform                      string
		NRISocket, NRIPlugins, NRIConfig                           string
		OOMScore                                                   int
		RestrictOOMScore, SystemdCgroup                            bool
	}{
		Root: l.Containerd(), State: l.ContainerdState(), Imports: c.dropIns(), Socket: l.ContainerdSocket(), TTRPC: l.ContainerdSocket() + ".ttrpc",
		LogLevel: "warn", ShimSockets: c.shimSockets(), Snapshotter: c.Snapshotter, SandboxImage: c.SandboxImage,
		CertsDir: c.certsDir(), Bin: l.CurrentBin(), CNIConfig: l.CNIConfig(),
		Shim: l.CurrentBin() + "/containerd-shim-runc-v2", Runc: l.CurrentBin() + "/runc",
		RuncState: l.ContainerdState() + "/runc",
		NRISocket: c.nriSocket(), NRIPlugins: c.nriPlugins() + "/plugins", NRIConfig: c.nriPlugins() + "/conf.d",
		OOMScore: oomScore, RestrictOOMScore: c.RestrictOOMScore, SystemdCgroup: c.SystemdCgroup,
	}
	if c.Debug {
		v.LogLevel = "debug"
	}
	if c.RestrictOOMScore {
		v.OOMScore = 0
	}
	if c.Snapshotter != SnapshotterOverlay {
		v.UnpackPlatform = "linux/" + goruntime.GOARCH
	}
	var buf bytes.Buffer
	if err := configTemplate.Execute(&buf, v); err != nil {
		return nil, fmt.Errorf("render containerd configuration: %w", err)
	}
	return buf.Bytes(), nil
}
