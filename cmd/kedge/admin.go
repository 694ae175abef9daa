package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/kedge-io/kedge/internal/clock"
	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/version"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/join"
	"github.com/spf13/cobra"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// adminTimeout bounds one request of a command.
const adminTimeout = 30 * time.Second

// admin is the administrator of one cluster, for commands that change it.
type admin struct {
	config *rest.Config
	client kubernetes.Interface
	certs  certs.Paths
	// now is the time as the server of this host knows it.
	now func() time.Time
}

// tokens is the store of join tokens.
func (a *admin) tokens() *join.Tokens { return join.NewTokensAt(a.client, a.now) }

// openAdmin uses the server of the data directory, or KUBECONFIG where there
// is none.
func openAdmin(cmd *cobra.Command, dataDir *string) (*admin, error) {
	if _, err := loadOptions(cmd); err != nil {
		return nil, err
	}
	layout := paths.New(*dataDir)
	certPaths := certs.NewPaths(layout)
	path, err := adminKubeconfig(certPaths.AdminKubeconfig, os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	config, err := kubeclient.Once(path, "kedge/"+version.Kedge)
	if err != nil {
		return nil, err
	}
	config.Timeout = adminTimeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	now := clock.Open(layout.LastSeen(), built(), nil).Now
	return &admin{config: config, client: client, certs: certPaths, now: now}, nil
}

// adminKubeconfig prefers the server of this host: its CA is certain to be the
// one that tokens pin.
func adminKubeconfig(local, fromEnv string) (string, error) {
	_, err := os.Stat(local)
	switch {
	case err == nil:
		return local, nil
	case fromEnv != "":
		return fromEnv, nil
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("kubeconfig %s is not readable for this user: run it with sudo, or set KUBECONFIG", local)
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("kubeconfig %s does not exist: run this on a server, name its --data-dir, or set KUBECONFIG", local)
	}
	return "", fmt.Errorf("kubeconfig: %w", err)
}

// explain adds the remedy to what the API's client says.
func (a *admin) explain(err error) error {
	if utilnet.IsConnectionRefused(err) {
		return fmt.Errorf("%w: no server answers at %s, see: kedge status", err, a.config.Host)
	}
	return err
}

// pin is the hash of the server CA's key.
func (a *admin) pin() (wire.Pin, error) {
	if cert, err := pki.ReadCert(a.certs.ServerCA.Cert); err == nil {
		return pki.PinOf(cert), nil
	}
	text := a.config.CAData
	if len(text) == 0 && a.config.CAFile != "" {
		var err error
		if text, err = os.ReadFile(a.config.CAFile); err != nil {
			return wire.Pin{}, fmt.Errorf("read the server's CA: %w", err)
		}
	}
	found, err := pki.ParseCerts(text)
	if err != nil {
		return wire.Pin{}, fmt.Errorf("read the server's CA from the kubeconfig: %w", err)
	}
	return pki.PinOf(found[0]), nil
}

// printToken prints the token alone on standard output, for scripts, and the
// commands for people on standard error; with command, the command that installs
// a node on standard output. The token goes through the environment there,
// because every user of a host can read the arguments of a process.
func (a *admin) printToken(cmd *cobra.Command, id, secret string, command bool) error {
	pin, err := a.pin()
	if err != nil {
		return err
	}
	token := wire.Token{Pin: pin, ID: id, Secret: secret}.Encode()
	install, err := a.installCommand(token)
	switch {
	case command && err != nil:
		return err
	case command:
		_, err = fmt.Fprintln(cmd.OutOrStdout(), install)
		return err
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), token); err != nil {
		return err
	}
	if err == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "\nmake a machine a node, as root there:\n  %s\n", install)
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "\njoin a machine that has kedge with:\n  KEDGE_TOKEN=%s kedge agent --server %s\n", token, a.serverURL())
	return err
}

// installCommand is the line that makes a machine a node. curl believes this
// server by its key, as nobody has signed its certificate that the machine
// knows.
func (a *admin) installCommand(token string) (string, error) {
	cert, err := pki.ReadCert(a.certs.Serving.Cert)
	if err != nil {
		return "", fmt.Errorf("the key of the server is needed for the command: run this on the server: %w", err)
	}
	key := pki.PinOf(cert)
	url := a.serverURL()
	return fmt.Sprintf("curl -sfLk --pinnedpubkey sha256//%s %s | KEDGE_URL=%s KEDGE_TOKEN=%s sh -",
		base64.StdEncoding.EncodeToString(key[:]), url+wire.PathInstall, url, token), nil
}

// serverURL is where other machines most likely reach the server.
func (a *admin) serverURL() string {
	u, err := url.Parse(a.config.Host)
	if err != nil || u.Port() == "" {
		return "https://SERVER:6443"
	}
	ip := net.ParseIP(u.Hostname())
	if ip == nil || !ip.IsLoopback() {
		return a.config.Host
	}
	cert, err := pki.ReadCert(a.certs.Serving.Cert)
	if err != nil {
		return "https://" + net.JoinHostPort("SERVER", u.Port())
	}
	// The server puts the address that it advertises first.
	for _, ip := range cert.IPAddresses {
		if !ip.IsLoopback() {
			return "https://" + net.JoinHostPort(ip.String(), u.Port())
		}
	}
	return "https://" + net.JoinHostPort("SERVER", u.Port())
}
