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
	// Authorities, as they sign now.
	ServerCA, ClientCA, KubeletCA, RequestHeaderCA, EtcdCA Pair
	// What is trusted: the authority that signs now first, and while one replaces
	// another the other.
	ServerTrust, ClientTrust, KubeletTrust, RequestHeaderTrust, EtcdTrust string
	// Rotation is the folder that exists while authorities are replaced.
	Rotation string

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
	trust := func(name string) string { return tls(name + "-bundle").Cert }
	cred := func(name string) string { return filepath.Join(layout.ServerCred(), name) }
	return Paths{
		ServerCA:        tls("server-ca"),
		ClientCA:        tls("client-ca"),
		KubeletCA:       tls("kubelet-ca"),
		RequestHeaderCA: tls("request-header-ca"),
		EtcdCA:          tls("etcd/server-ca"),

		ServerTrust:        trust("server-ca"),
		ClientTrust:        trust("client-ca"),
		KubeletTrust:       trust("kubelet-ca"),
		RequestHeaderTrust: trust("request-header-ca"),
		EtcdTrust:          trust("etcd/server-ca"),

		Rotation: filepath.Join(layout.ServerTLS(), "rotation"),

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

// slot is one kind of authority.
type slot struct {
	// file is its name in the folder of a rotation, name what it calls itself.
	file, name string
	pair       Pair
	trust      string
}

func (p Paths) slots() []slot {
	return []slot{
		{"server-ca", "kedge-server-ca", p.ServerCA, p.ServerTrust},
		{"client-ca", "kedge-client-ca", p.ClientCA, p.ClientTrust},
		{"kubelet-ca", "kedge-kubelet-ca", p.KubeletCA, p.KubeletTrust},
		{"request-header-ca", "kedge-request-header-ca", p.RequestHeaderCA, p.RequestHeaderTrust},
		{"etcd-ca", "kedge-etcd-ca", p.EtcdCA, p.EtcdTrust},
	}
}

// irreplaceable lists what a database cannot be used without.
func (p Paths) irreplaceable() []string {
	return []string{
		p.ServerCA.Cert, p.ServerCA.Key, p.ClientCA.Cert, p.ClientCA.Key,
		p.ServiceKey, p.EncryptionConfig,
	}
}
