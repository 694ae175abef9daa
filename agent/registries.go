package agent

import (
	"github.com/kedge-io/kedge/agent/registries"
)

// newRegistries keeps the settings of container registries. It waits for nobody,
// and containerd waits for it, so that the first pull already knows its mirrors.
func (a *Agent) newRegistries() (*registries.Registries, error) {
	return registries.New(registries.Config{
		File: a.cfg.RegistriesFile, CertsDir: a.cfg.Layout.RegistryHosts(), LastGood: a.cfg.Layout.RegistriesLastGood(),
		MirrorsOnly: a.cfg.MirrorsOnly, NodeName: a.cfg.NodeName, Kubeconfig: a.id.Files.AgentConfig,
	}, a.log, a.reporter(registries.Name))
}
