package enroll

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// Record is what enroll.json says about a joined node.
type Record struct {
	Node string `json:"node"`
	// Pin is that of the authority that signed for the servers when the node was
	// last certified, Known those of all that it was told of before: tokens that
	// name one of them are of this cluster.
	Pin     string             `json:"serverCA"`
	Known   []string           `json:"formerServerCAs,omitempty"`
	NodeIPs []netip.Addr       `json:"nodeIPs,omitempty"`
	Cluster wire.ClusterConfig `json:"cluster"`
}

func (r *Record) knows(pin wire.Pin) bool {
	return r.Pin == pin.String() || slices.Contains(r.Known, pin.String())
}

// keys are the node's private keys.
type keys struct {
	device, kubeletClient, kubeletServing, proxy, agent *ecdsa.PrivateKey
}

type keyFile struct {
	key  **ecdsa.PrivateKey
	path string
}

func (k *keys) files(f Files) []keyFile {
	return []keyFile{
		{&k.device, f.DeviceKey}, {&k.kubeletClient, f.KubeletClientKey},
		{&k.kubeletServing, f.KubeletServingKey}, {&k.proxy, f.ProxyKey}, {&k.agent, f.AgentKey},
	}
}

// prepareKeys reads the keys that are there and makes the others in memory. A
// damaged key is made again, except the device's, which is who the machine is;
// renewed makes all others again.
func prepareKeys(f Files, renewed bool) (*keys, error) {
	k := &keys{}
	for _, file := range k.files(f) {
		key, err := pki.ReadKey(file.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && file.path == f.DeviceKey {
			return nil, fmt.Errorf("%w: restore it, or start over with kedge reset and, on the server, kedge node replace", err)
		}
		if err != nil || (renewed && file.path != f.DeviceKey) {
			if key, err = pki.NewKey(); err != nil {
				return nil, err
			}
		}
		*file.key = key
	}
	return k, nil
}

// request asks for everything the node needs, and says which authorities of
// servers it trusts.
func (k *keys) request(node string, ips []netip.Addr, trusted []*x509.Certificate) (wire.JoinRequest, error) {
	request := wire.JoinRequest{Node: node, NodeIPs: ips}
	for _, ca := range trusted {
		request.Trusts = append(request.Trusts, pki.PinOf(ca).String())
	}
	var err error
	if request.DeviceKey, err = x509.MarshalPKIXPublicKey(&k.device.PublicKey); err != nil {
		return request, fmt.Errorf("encode device key: %w", err)
	}
	for _, part := range []struct {
		into *[]byte
		key  *ecdsa.PrivateKey
	}{
		{&request.KubeletClient, k.kubeletClient}, {&request.KubeletServing, k.kubeletServing},
		{&request.KubeProxy, k.proxy}, {&request.Agent, k.agent},
	} {
		if *part.into, err = pki.NewRequest(part.key, node); err != nil {
			return request, err
		}
	}
	digest := request.Digest(pki.PinOf(trusted[0]))
	if request.Signature, err = ecdsa.SignASN1(rand.Reader, k.device, digest[:]); err != nil {
		return request, fmt.Errorf("sign join request: %w", err)
	}
	return request, nil
}

type certFile struct {
	pem  []byte
	path string
	key  *ecdsa.PrivateKey
}

// save writes an answer: keys, then authorities, then certificates, then
// kubeconfigs, then the record that makes them count. trusted are the
// authorities of before, which stay where the server names none.
func (e *Enroll) save(k *keys, trusted []*x509.Certificate, response *wire.JoinResponse) error {
	f := e.files
	certs := []certFile{
		{response.KubeletClient, f.KubeletClientCert, k.kubeletClient},
		{response.KubeletServing, f.KubeletServingCert, k.kubeletServing},
		{response.KubeProxy, f.ProxyCert, k.proxy},
		{response.Agent, f.AgentCert, k.agent},
	}
	// Look at all of it before the first file is touched.
	for _, c := range certs {
		parsed, err := pki.ParseCerts(c.pem)
		if err != nil {
			return fmt.Errorf("read issued certificate for %s: %w", c.path, err)
		}
		if !pki.SameKey(parsed[0], c.key) {
			return fmt.Errorf("the server's certificate for %s is for another key", c.path)
		}
	}
	if _, err := pki.ParseCerts(response.ClientCA); err != nil {
		return fmt.Errorf("read client authority: %w", err)
	}
	authorities, err := bundle(trusted, response.ServerCA)
	if err != nil {
		return err
	}
	if err := makePrivate(e.config.Layout.AgentTLS()); err != nil {
		return err
	}
	// Whoever shows a certificate of a new authority must trust it before.
	for _, ca := range []certFile{{pem: pki.EncodeCert(authorities...), path: f.ServerCA}, {pem: response.ClientCA, path: f.ClientCA}} {
		if _, err := fsx.WriteFileIfChanged(ca.path, ca.pem, 0o644); err != nil {
			return err
		}
	}
	if err := writeKey(f.DeviceKey, k.device); err != nil {
		return err
	}
	for i, key := range k.files(f)[1:] {
		if err := writePair(certs[i], key.path); err != nil {
			return err
		}
	}
	if err := e.writeKubeconfigs(); err != nil {
		return err
	}
	record := Record{
		Node: e.config.NodeName, Pin: pki.PinOf(authorities[0]).String(), Known: e.known(authorities),
		NodeIPs: e.config.NodeIPs, Cluster: response.Cluster,
	}
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", f.Record, err)
	}
	_, err = fsx.WriteFileIfChanged(f.Record, append(text, '\n'), 0o600)
	return err
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	text, err := pki.EncodeKey(key)
	if err != nil {
		return err
	}
	_, err = fsx.WriteFileIfChanged(path, text, 0o600)
	return err
}

// nextSuffix is behind the name of a certificate whose key is being replaced.
const nextSuffix = ".next"

// writePair writes a certificate and its key. Where the key is another one, the
// certificate is on disk beside the former before the key is, so that a kill at
// any line leaves a pair; see [finishPair].
func writePair(c certFile, keyPath string) error {
	before, err := pki.ReadKey(keyPath)
	if err != nil || !before.Equal(c.key) {
		if err := fsx.WriteFile(c.path+nextSuffix, c.pem, 0o644); err != nil {
			return err
		}
		if err := writeKey(keyPath, c.key); err != nil {
			return err
		}
		return os.Rename(c.path+nextSuffix, c.path)
	}
	_, err = fsx.WriteFileIfChanged(c.path, c.pem, 0o644)
	return err
}

// finishPair does what a kill in [writePair] has left undone.
func finishPair(certPath string, key *ecdsa.PrivateKey) (*x509.Certificate, bool) {
	cert, err := pki.ReadCert(certPath + nextSuffix)
	if err != nil || !pki.SameKey(cert, key) {
		return nil, false
	}
	return cert, os.Rename(certPath+nextSuffix, certPath) == nil
}

// bundle returns the authorities to trust from now on.
func bundle(trusted []*x509.Certificate, told []byte) ([]*x509.Certificate, error) {
	if len(told) == 0 {
		return trusted, nil
	}
	authorities, err := pki.ParseCerts(told)
	if err != nil {
		return nil, fmt.Errorf("read the authorities of the servers: %w", err)
	}
	return authorities, nil
}

// known returns the pins of all authorities that the node was ever told of, but
// for the first of the present ones.
func (e *Enroll) known(now []*x509.Certificate) []string {
	var pins []string
	if before, err := readRecord(e.files.Record); err == nil {
		pins = append(pins, before.Known...)
		pins = append(pins, before.Pin)
	}
	for _, ca := range now {
		pins = append(pins, pki.PinOf(ca).String())
	}
	slices.Sort(pins)
	first := pki.PinOf(now[0]).String()
	return slices.DeleteFunc(slices.Compact(pins), func(pin string) bool { return pin == first })
}

func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder for keys: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close folder for keys: %w", err)
	}
	return nil
}

func (e *Enroll) writeKubeconfigs() error {
	f := e.files
	if err := os.MkdirAll(filepath.Dir(f.LiveKubelet), 0o755); err != nil {
		return fmt.Errorf("make folder for kubeconfigs: %w", err)
	}
	for _, k := range []struct {
		path, user, cert, key string
		live                  bool
	}{
		{f.KubeletConfig, "kubelet", f.KubeletClientCert, f.KubeletClientKey, false},
		{f.LiveKubelet, "kubelet", f.KubeletClientCert, f.KubeletClientKey, true},
		{f.ProxyConfig, "kube-proxy", f.ProxyCert, f.ProxyKey, false},
		{f.LiveProxy, "kube-proxy", f.ProxyCert, f.ProxyKey, true},
		{f.AgentConfig, "kedge-agent", f.AgentCert, f.AgentKey, false},
	} {
		config := kubeclient.Kubeconfig{Server: e.config.endpoint(), User: k.user, CAFile: f.ServerCA, CertFile: k.cert, KeyFile: k.key, Live: k.live}
		if _, err := config.Write(k.path, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// errNotEnrolled tells that a join is needed; it wraps the reason.
var errNotEnrolled = errors.New("not joined yet")

// onDisk is what a joined node has.
type onDisk struct {
	record *Record
	// authorities are those of the servers, the one that signs now first.
	authorities, certs []*x509.Certificate
}

func readRecord(path string) (*Record, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errNotEnrolled
		}
		return nil, fmt.Errorf("read the node's record: %w", err)
	}
	var record Record
	if err := json.Unmarshal(text, &record); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errNotEnrolled, path, err)
	}
	return &record, nil
}

// load reads what is on disk. It gives errNotEnrolled when something is missing
// or broken that joining again mends. Whether the certificates have expired is
// for the caller.
func load(f Files) (*onDisk, error) {
	record, err := readRecord(f.Record)
	if err != nil {
		return nil, err
	}
	authorities, err := pki.ReadCerts(f.ServerCA)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotEnrolled, err)
	}
	// A kill between the two files may leave newer authorities than the record.
	if !slices.ContainsFunc(authorities, func(ca *x509.Certificate) bool { return record.knows(pki.PinOf(ca)) }) {
		return nil, fmt.Errorf("%w: %s is not of the cluster that the node joined", errNotEnrolled, f.ServerCA)
	}
	if _, err := pki.ReadCert(f.ClientCA); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotEnrolled, err)
	}
	certs, err := loadPairs(f)
	return &onDisk{record, authorities, certs}, err
}

func loadPairs(f Files) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, pair := range [][2]string{
		{f.KubeletClientCert, f.KubeletClientKey}, {f.KubeletServingCert, f.KubeletServingKey},
		{f.ProxyCert, f.ProxyKey}, {f.AgentCert, f.AgentKey},
	} {
		key, err := pki.ReadKey(pair[1])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotEnrolled, err)
		}
		cert, err := pki.ReadCert(pair[0])
		if err != nil || !pki.SameKey(cert, key) {
			if next, ok := finishPair(pair[0], key); ok {
				cert, err = next, nil
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotEnrolled, err)
		}
		if !pki.SameKey(cert, key) {
			return nil, fmt.Errorf("%w: %s does not belong to %s", errNotEnrolled, pair[0], pair[1])
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

// renewAt returns when the first of the certificates is due, and ends when the
// first of them ends.
func span(certs []*x509.Certificate) (renewAt, end time.Time) {
	for i, cert := range certs {
		if at := pki.RenewAt(cert); i == 0 || at.Before(renewAt) {
			renewAt = at
		}
		if i == 0 || cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return renewAt, end
}

func sameAddresses(a, b []netip.Addr) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, netip.Addr.Compare)
	slices.SortFunc(b, netip.Addr.Compare)
	return slices.Equal(a, b)
}
