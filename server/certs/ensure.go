package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/pki"
)

// mastersGroup is the group that Kubernetes authorises for everything.
const mastersGroup = "system:masters"

// Ensure makes what is missing, keeps what is good, renews what is due (see
// [pki.Issuer.Ensure]) and goes on with a replacement of the authorities that
// was interrupted. It is called before the datastore is opened, and again while
// running to renew; it costs a few reads when nothing is to be done.
//
// Errors: those that name the lost file when a database exists whose keys are
// gone.
func Ensure(config Config, now time.Time, log *slog.Logger) (Paths, error) {
	m, err := newMaker(config, now, log)
	if err != nil {
		return Paths{}, err
	}
	return m.paths, m.run()
}

// maker holds what the steps of one Ensure share.
type maker struct {
	config Config
	paths  Paths
	now    time.Time
	log    *slog.Logger
	// replace asks for new leaves although the present ones are good, newKeys for
	// new keys as well.
	replace, newKeys bool

	state  State
	kinds  map[Pair]kind
	issued atomic.Int32 // leaves
}

func newMaker(config Config, now time.Time, log *slog.Logger) (*maker, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &maker{config: config, paths: NewPaths(config.Layout), now: now, log: log}, nil
}

func (m *maker) run() error {
	for _, step := range []func() error{
		m.checkComplete, m.folders, m.follow, m.authorities, m.trust, m.leaves, m.serviceKey, m.encryption, m.kubeconfigs, m.tidy,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
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
	m.kinds = map[Pair]kind{}
	var all together
	var mu sync.Mutex
	for _, s := range m.paths.slots() {
		all.Go(func() error {
			if _, err := pki.EnsureCA(s.pair.Cert, s.pair.Key, s.name, m.now); err != nil {
				return err
			}
			k, err := s.read(m.paths, m.state, m.config.Lifetime)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			m.kinds[s.pair] = k
			return nil
		})
	}
	return all.Wait()
}

// trust writes who is trusted, before anything that a new authority has signed.
func (m *maker) trust() error {
	for _, s := range m.paths.slots() {
		if _, err := fsx.WriteFileIfChanged(s.trust, pki.EncodeCert(m.kinds[s.pair].trusted()...), 0o644); err != nil {
			return err
		}
	}
	return nil
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

// leaf is one certificate of the server.
type leaf struct {
	pair      Pair
	authority Pair
	names     pki.Names
	// lifetime is zero for that of the configuration.
	lifetime time.Duration
}

func (m *maker) wanted() []leaf {
	names, ips := m.config.servingNames()
	local := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	p := m.paths
	return []leaf{
		{pair: p.Serving, authority: p.ServerCA, names: pki.Names{CommonName: "kube-apiserver", DNS: names, IPs: ips, Server: true}},
		{pair: p.Admin, authority: p.ClientCA, names: client("system:admin", mastersGroup)},
		{pair: p.ControllerManager, authority: p.ClientCA, names: client("system:kube-controller-manager")},
		{pair: p.Scheduler, authority: p.ClientCA, names: client("system:kube-scheduler")},
		{pair: p.Supervisor, authority: p.ClientCA, names: client("system:kedge:supervisor", mastersGroup)},
		// Upstream cuts every log and exec that runs when this one changes, and a
		// short life would protect nothing: it never leaves this machine, where the
		// key of its authority lies beside it.
		{pair: p.KubeletClient, authority: p.ClientCA, names: client("system:kube-apiserver", mastersGroup), lifetime: pki.CALifetime},
		{pair: p.AuthProxy, authority: p.RequestHeaderCA, names: client("system:auth-proxy")},
		{pair: p.EtcdServing, authority: p.EtcdCA, names: pki.Names{CommonName: "kedge-datastore", DNS: []string{"localhost"}, IPs: local, Server: true}},
		{pair: p.EtcdClient, authority: p.EtcdCA, names: client("kube-apiserver")},
	}
}

func (m *maker) leaves() error {
	var all together
	for _, l := range m.wanted() {
		// At once, because each waits for the disk a few times.
		all.Go(func() error {
			issuer := m.kinds[l.authority].issuer
			if l.lifetime != 0 {
				issuer.Lifetime = l.lifetime
			}
			cert, wrote, err := m.issue(issuer, l)
			if wrote && err == nil {
				m.issued.Add(1)
				m.log.Debug("certificate issued", "file", l.pair.Cert, "until", cert.NotAfter)
			}
			return err
		})
	}
	return all.Wait()
}

func (m *maker) issue(issuer pki.Issuer, l leaf) (*x509.Certificate, bool, error) {
	if m.replace {
		cert, err := issuer.Replace(l.pair.Cert, l.pair.Key, l.names, m.now, m.newKeys)
		return cert, true, err
	}
	return issuer.Ensure(l.pair.Cert, l.pair.Key, l.names, m.now)
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
		live bool
	}{
		{m.paths.ControllerManagerKubeconfig, "kube-controller-manager", m.paths.ControllerManager, true},
		{m.paths.SchedulerKubeconfig, "kube-scheduler", m.paths.Scheduler, true},
		{m.paths.SupervisorKubeconfig, "kedge-supervisor", m.paths.Supervisor, false}, // read by kedge's own clients
	} {
		k := kubeclient.Kubeconfig{
			Server: m.config.loopbackURL(), User: part.user,
			CAFile: m.paths.ServerTrust, CertFile: part.pair.Cert, KeyFile: part.pair.Key, Live: part.live,
		}
		if _, err := k.Write(part.path, 0o600); err != nil {
			return err
		}
	}
	return m.adminKubeconfigs()
}

func (m *maker) adminKubeconfigs() error {
	admin := kubeclient.Kubeconfig{Server: m.config.loopbackURL(), User: "admin", CAData: pki.EncodeCert(m.kinds[m.paths.ServerCA].trusted()...)}
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
