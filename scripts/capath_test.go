//go:build namespace

package scripts_test

import (
	"crypto/sha256"
	"crypto/x509/pkix"
	"os"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/internal/wire"
)

// TestAuthoritiesOfTheHostAreNotBelieved has somebody in between who knows the
// cluster's authority, as everybody may, and has a certificate of one that the
// machine itself trusts.
func TestAuthoritiesOfTheHostAreNotBelieved(t *testing.T) {
	b := newBed(t)
	testx.NeedPrograms(t, "openssl")
	m := newMachine(t, large, "dash")
	cluster, _ := authority(t, pkix.Name{CommonName: "another name than that of the host's"})
	b.cacerts = encode(cluster)
	must(t, os.WriteFile(m.path("/etc/ssl/certs/host.pem"), encode(b.ca), 0o644))
	m.run(t, "sh", "-c", "cd /etc/ssl/certs && ln -s host.pem $(openssl x509 -hash -noout -in host.pem).0")
	token := wire.Token{Pin: sha256.Sum256(cluster.RawSubjectPublicKeyInfo), ID: "abcdef", Secret: "abcdefghijklmnopqrstuvwxyz"}.Encode()
	m.mustFail(t, []string{"Nothing was changed"}, "KEDGE_URL="+b.url, "KEDGE_TOKEN="+token, "INSTALL_KEDGE_WAIT=0")
}
