// Package depot is a container registry for tests: the reference implementation
// (tests/registry, a module of its own) with TLS and a password, and a client that
// puts images into it.
//
// It runs wherever the test starts the program: on this host or on a host of the
// laboratory. Start reading at [New].
package depot

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/kedge-io/kedge/internal/testx"
)

// User and Password open a depot.
const (
	User     = "node"
	Password = "hunter2"
)

// Depot is a registry that may run. Its files are where the program runs.
type Depot struct {
	// Address is HOST:PORT of the registry.
	Address string
	// CA is the certificate to trust, in PEM.
	CA []byte
	// Files are those that the program needs, by name; they belong into Dir.
	Files map[string][]byte
	Dir   string
}

// New makes a registry that will listen at address, an IP with port, and keep its
// images and files in dir.
func New(address, dir string) (*Depot, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(Password), bcrypt.MinCost)
	if err != nil {
		return nil, err
	}
	cert, key, err := certificate(address)
	if err != nil {
		return nil, err
	}
	d := &Depot{Address: address, CA: cert, Dir: dir}
	d.Files = map[string][]byte{
		"htpasswd": append([]byte(User+":"), hash...), "tls.crt": cert, "tls.key": key,
		"config.yml": fmt.Appendf(nil, `version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: %[1]s/images}
http:
  addr: %[2]s
  secret: test
  tls: {certificate: %[1]s/tls.crt, key: %[1]s/tls.key}
auth:
  htpasswd: {realm: depot, path: %[1]s/htpasswd}
`, dir, address),
	}
	return d, nil
}

// Args are those of the program that [Build] makes.
func (d *Depot) Args() []string { return []string{"serve", filepath.Join(d.Dir, "config.yml")} }

// Build makes the program of a depot, unless it is up to date, and returns its path.
func Build(ctx context.Context) (string, error) {
	root, err := testx.RepoRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "build", "registry")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", path, ".")
	build.Dir = filepath.Join(root, "tests", "registry")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") //nolint:forbidigo // go wants its own environment
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tests/registry: %w: %s", err, out)
	}
	return path, nil
}

// certificate is one that is its own authority.
func certificate(address string) (cert, key []byte, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "depot"}, IPAddresses: []net.IP{net.ParseIP(host)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}
