package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kedge-io/kedge/agent/enroll"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/server/certs"
)

// certFile is a file with certificates: a leaf with what goes behind it, or the
// authorities of a bundle.
type certFile struct {
	name, path string
	bundle     bool
	kubeconfig bool
}

// certFiles lists what a server and a node keep. What this host is not is not
// there.
func certFiles(layout paths.Layout, kubeconfig string) []certFile {
	s, n := certs.NewPaths(layout), enroll.NewFiles(layout)
	if kubeconfig == "" {
		kubeconfig = paths.DefaultKubeconfig
	}
	return []certFile{
		{name: "server authority", path: s.ServerTrust, bundle: true},
		{name: "client authority", path: s.ClientTrust, bundle: true},
		{name: "kubelet authority", path: s.KubeletTrust, bundle: true},
		{name: "request header authority", path: s.RequestHeaderTrust, bundle: true},
		{name: "etcd authority", path: s.EtcdTrust, bundle: true},
		{name: "API server", path: s.Serving.Cert},
		{name: "administrator", path: s.Admin.Cert},
		{name: "administrator's kubeconfig", path: kubeconfig, kubeconfig: true},
		{name: "controller manager", path: s.ControllerManager.Cert},
		{name: "scheduler", path: s.Scheduler.Cert},
		{name: "supervisor", path: s.Supervisor.Cert},
		{name: "API server to kubelets", path: s.KubeletClient.Cert},
		{name: "API server to extensions", path: s.AuthProxy.Cert},
		{name: "datastore", path: s.EtcdServing.Cert},
		{name: "datastore's client", path: s.EtcdClient.Cert},
		{name: "node: server authority", path: n.ServerCA, bundle: true},
		{name: "node: client authority", path: n.ClientCA, bundle: true},
		{name: "node: kubelet to API", path: n.KubeletClientCert},
		{name: "node: kubelet", path: n.KubeletServingCert},
		{name: "node: kube-proxy", path: n.ProxyCert},
		{name: "node: kedge", path: n.AgentCert},
	}
}

// inspect reads the files. One that is absent belongs to another kind of host.
func inspect(files []certFile, now time.Time) []inspected {
	var found []inspected
	for _, f := range files {
		list, err := f.read()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			found = append(found, inspected{Name: f.name, File: f.path, State: stateUnreadable, Error: err.Error()})
			continue
		case !f.bundle:
			list = list[:1]
		}
		for _, cert := range list {
			found = append(found, describe(f, cert, now))
		}
	}
	return found
}

func (f certFile) read() ([]*x509.Certificate, error) {
	if !f.kubeconfig {
		return pki.ReadCerts(f.path)
	}
	if _, err := os.Stat(f.path); err != nil {
		return nil, err
	}
	config, err := clientcmd.LoadFromFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	for _, user := range config.AuthInfos {
		if len(user.ClientCertificateData) > 0 {
			return pki.ParseCerts(user.ClientCertificateData)
		}
	}
	return nil, fs.ErrNotExist // a person's own, without a certificate of ours
}

// servedTimeout bounds the question to the server on this host.
const servedTimeout = 5 * time.Second

// served is what a running server answers with, which should be what is on disk.
func served(ctx context.Context, layout paths.Layout, now time.Time) []inspected {
	report, err := health.Fetch(ctx, layout.StatusSocket())
	if err != nil || report.Role != "server" {
		return nil
	}
	port := peek("https-listen-port")
	if port == "" {
		port = "6443"
	}
	f := certFile{name: "API server, in use", path: net.JoinHostPort("127.0.0.1", port)}
	ctx, cancel := context.WithTimeout(ctx, servedTimeout)
	defer cancel()
	// Nothing is believed that is said there; it is compared with the disk.
	dialer := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", f.path)
	if err != nil {
		return []inspected{{Name: f.name, File: f.path, State: stateUnreadable, Error: err.Error()}}
	}
	defer conn.Close()
	cert := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	c := describe(f, cert, now)
	if disk, err := pki.ReadCert(certs.NewPaths(layout).Serving.Cert); err == nil && !disk.Equal(cert) {
		c.Error, c.State = "the server still answers with another certificate than that on disk", pki.StateSoon
	}
	return []inspected{c}
}
