package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/pki"
)

// mastersGroup is the group that Kubernetes authorises for everything.
const mastersGroup = "system:masters"

// Ensure makes what is missing, keeps what is good and renews what is due (see
// [pki.EnsureLeaf]). It is called before the datastore is opened, and again
// while running to renew; it costs a few reads when nothing is to be done.
//
// Errors: a [*pki.ClockError] when the clock cannot be right (nothing has been
// written then), and errors that name the lost file when a database exists
// whose keys are gone.
func Ensure(config Config, now time.Time, log *slog.Logger) (Paths, error) {
	if err := config.Validate(); err != nil {
		return Paths{}, err
	}
	if err := pki.CheckClock(now, config.Built); err != nil {
		return Paths{}, err
	}
	m := &maker{config: config, paths: NewPaths(config.Layout), now: now, log: log}
	steps := []func() error{m.checkComplete, m.folders, m.authorities, m.leaves, m.serviceKey, m.encryption, m.kubeconfigs}
	for _, step := range steps {
		if err := step(); err != nil {
			return Paths{}, err
		}
	}
	return m.paths, nil
}

// maker holds what the steps of one Ensure share.
type maker struct {
	config Config
	paths  Paths
	now    time.Time
	log    *slog.Logger

	server, client, kubelet, requestHeader, etcd *pki.CA
}

// checkComplete refuses to make new keys beside an old database.
func (m *maker) checkComplete() error {
	database := m.config.Layout.Database()
	if _, err := os.Stat(database); err != nil {
		return nil // absent, or for the datastore to complain about
	}
	var lost []string
	for _, path := range m.paths.irreplaceable() {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			lost = append(lost, path)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("database %s exists but %s is gone, and without it the database's secrets, tokens and nodes are lost: restore it from a backup, or remove the whole data directory with kedge reset", database, strings.Join(lost, ", "))
}

func (m *maker) folders() error {
	for _, dir := range []string{m.config.Layout.ServerTLS(), filepath.Dir(m.paths.EtcdCA.Cert), m.config.Layout.ServerCred()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make folder for keys: %w", err)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("close folder for keys: %w", err)
		}
	}
	return nil
}

func (m *maker) authorities() error {
	var all together
	for _, want := range []struct {
		ca   **pki.CA
		pair Pair
		name string
	}{
		{&m.server, m.paths.ServerCA, "kedge-server-ca"},
		{&m.client, m.paths.ClientCA, "kedge-client-ca"},
		{&m.kubelet, m.paths.KubeletCA, "kedge-kubelet-ca"},
		{&m.requestHeader, m.paths.RequestHeaderCA, "kedge-request-header-ca"},
		{&m.etcd, m.paths.EtcdCA, "kedge-etcd-ca"},
	} {
		all.Go(func() error {
			ca, err := pki.EnsureCA(want.pair.Cert, want.pair.Key, want.name, m.now)
			if err != nil {
				return err
			}
			*want.ca = ca
			return pki.CheckClockAgainst(m.now, ca.Cert)
		})
	}
	return all.Wait()
}

// together runs functions at once and keeps all their errors.
type together struct {
	running sync.WaitGroup
	mu      sync.Mutex
	errs    []error
}

func (t *together) Go(f func() error) {
	t.running.Go(func() {
		err := f()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.errs = append(t.errs, err)
	})
}

func (t *together) Wait() error {
	t.running.Wait()
	return errors.Join(t.errs...)
}

func client(name string, groups ...string) pki.Names {
	return pki.Names{CommonName: name, Organizations: groups, Client: true}
}

func (m *maker) leaves() error {
	names, ips := m.config.servingNames()
	local := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	var all together
	for _, leaf := range []struct {
		pair  Pair
		ca    *pki.CA
		names pki.Names
	}{
		{m.paths.Serving, m.server, pki.Names{CommonName: "kube-apiserver", DNS: names, IPs: ips, Server: true}},
		{m.paths.Admin, m.client, client("system:admin", mastersGroup)},
		{m.paths.ControllerManager, m.client, client("system:kube-controller-manager")},
		{m.paths.Scheduler, m.client, client("system:kube-scheduler")},
		{m.paths.Supervisor, m.client, client("system:kedge:supervisor", mastersGroup)},
		{m.paths.KubeletClient, m.client, client("system:kube-apiserver", mastersGroup)},
		{m.paths.AuthProxy, m.requestHeader, client("system:auth-proxy")},
		{m.paths.EtcdServing, m.etcd, pki.Names{CommonName: "kedge-datastore", DNS: []string{"localhost"}, IPs: local, Server: true}},
		{m.paths.EtcdClient, m.etcd, client("kube-apiserver")},
	} {
		// At once, because each waits for the disk a few times.
		all.Go(func() error {
			cert, wrote, err := pki.EnsureLeaf(leaf.pair.Cert, leaf.pair.Key, leaf.ca, leaf.names, m.now)
			if wrote && err == nil {
				m.log.Debug("certificate issued", "file", leaf.pair.Cert, "until", cert.NotAfter)
			}
			return err
		})
	}
	return all.Wait()
}

func (m *maker) serviceKey() error {
	_, _, err := pki.EnsureKey(m.paths.ServiceKey)
	return err
}

// kubeconfigs of the parts name files, so that a renewed certificate is picked
// up; the administrator's embeds everything, so that it can be copied away.
func (m *maker) kubeconfigs() error {
	for _, part := range []struct {
		path string
		user string
		pair Pair
	}{
		{m.paths.ControllerManagerKubeconfig, "kube-controller-manager", m.paths.ControllerManager},
		{m.paths.SchedulerKubeconfig, "kube-scheduler", m.paths.Scheduler},
		{m.paths.SupervisorKubeconfig, "kedge-supervisor", m.paths.Supervisor},
	} {
		k := kubeclient.Kubeconfig{
			Server: m.config.loopbackURL(), User: part.user,
			CAFile: m.paths.ServerCA.Cert, CertFile: part.pair.Cert, KeyFile: part.pair.Key,
		}
		if _, err := k.Write(part.path, 0o600); err != nil {
			return err
		}
	}
	return m.adminKubeconfigs()
}

func (m *maker) adminKubeconfigs() error {
	admin := kubeclient.Kubeconfig{Server: m.config.loopbackURL(), User: "admin", CAData: pki.EncodeCert(m.server.Cert)}
	var err error
	if admin.CertData, err = os.ReadFile(m.paths.Admin.Cert); err != nil {
		return fmt.Errorf("read administrator's certificate: %w", err)
	}
	if admin.KeyData, err = os.ReadFile(m.paths.Admin.Key); err != nil {
		return fmt.Errorf("read administrator's key: %w", err)
	}
	if _, err := admin.Write(m.paths.AdminKubeconfig, 0o600); err != nil {
		return err
	}
	if m.config.AdminKubeconfig == "" {
		return nil
	}
	mode := m.config.AdminMode
	if mode == 0 {
		mode = DefaultAdminMode
	}
	if _, err := admin.Write(m.config.AdminKubeconfig, mode); err != nil {
		return fmt.Errorf("write the administrator's kubeconfig (--write-kubeconfig): %w", err)
	}
	return nil
}
