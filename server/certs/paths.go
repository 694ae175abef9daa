package certs

import (
	"path/filepath"

	"github.com/kedge-io/kedge/internal/paths"
)

// Pair names a certificate and its key.
type Pair struct{ Cert, Key string }

// Paths names everything that [Ensure] keeps. All paths are absolute if the
// data directory is.
type Paths struct {
	// Authorities.
	ServerCA, ClientCA, KubeletCA, RequestHeaderCA, EtcdCA Pair

	// Serving is what port 6443 answers with, signed by ServerCA.
	Serving Pair
	// Clients of the API, signed by ClientCA.
	Admin, ControllerManager, Scheduler, Supervisor Pair
	// KubeletClient is the apiserver as a client of kubelets, signed by ClientCA.
	KubeletClient Pair
	// AuthProxy is the apiserver as a front proxy, signed by RequestHeaderCA.
	AuthProxy Pair
	// EtcdServing and EtcdClient are the two ends of the datastore link,
	// signed by EtcdCA.
	EtcdServing, EtcdClient Pair

	// ServiceKey signs and checks service-account tokens.
	ServiceKey string
	// EncryptionConfig tells the apiserver how secrets are stored.
	EncryptionConfig string

	// Kubeconfigs for parts of this process; they reach the API on loopback.
	AdminKubeconfig, ControllerManagerKubeconfig, SchedulerKubeconfig, SupervisorKubeconfig string
}

// NewPaths returns the names for a layout. It touches nothing.
func NewPaths(layout paths.Layout) Paths {
	tls := func(name string) Pair {
		base := filepath.Join(layout.ServerTLS(), name)
		return Pair{Cert: base + ".crt", Key: base + ".key"}
	}
	cred := func(name string) string { return filepath.Join(layout.ServerCred(), name) }
	return Paths{
		ServerCA:        tls("server-ca"),
		ClientCA:        tls("client-ca"),
		KubeletCA:       tls("kubelet-ca"),
		RequestHeaderCA: tls("request-header-ca"),
		EtcdCA:          tls("etcd/server-ca"),

		Serving:           tls("serving-kube-apiserver"),
		Admin:             tls("client-admin"),
		ControllerManager: tls("client-controller-manager"),
		Scheduler:         tls("client-scheduler"),
		Supervisor:        tls("client-supervisor"),
		KubeletClient:     tls("client-kube-apiserver"),
		AuthProxy:         tls("client-auth-proxy"),
		EtcdServing:       tls("etcd/serving"),
		EtcdClient:        tls("etcd/client"),

		ServiceKey:       filepath.Join(layout.ServerTLS(), "service.key"),
		EncryptionConfig: cred("encryption-config.yaml"),

		AdminKubeconfig:             cred("admin.kubeconfig"),
		ControllerManagerKubeconfig: cred("controller-manager.kubeconfig"),
		SchedulerKubeconfig:         cred("scheduler.kubeconfig"),
		SupervisorKubeconfig:        cred("supervisor.kubeconfig"),
	}
}

// irreplaceable lists what a database cannot be used without.
func (p Paths) irreplaceable() []string {
	return []string{
		p.ServerCA.Cert, p.ServerCA.Key, p.ClientCA.Cert, p.ClientCA.Key,
		p.ServiceKey, p.EncryptionConfig,
	}
}
