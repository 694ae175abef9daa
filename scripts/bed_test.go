//go:build namespace

package scripts_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/distfiles"
)

// bed is a server with install files, as machines see it: its handlers are the
// real ones behind a real TLS listener; what it hands out as kedge is a script.
type bed struct {
	url, dir string
	ca       *x509.Certificate
	key      *ecdsa.PrivateKey

	mu sync.Mutex
	// cacerts is what /cacerts answers; nil for the authority's certificate.
	cacerts []byte
	// before, where set, sees each request first and tells whether it has answered.
	before func(w http.ResponseWriter, r *http.Request) bool
	ranges []string // of requests for programs
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{dir: t.TempDir()}
	b.ca, b.key = authority(t, pkix.Name{CommonName: "kedge-server-ca"})
	b.program(t, "1.0")
	files := distfiles.New(distfiles.Config{
		Own: filepath.Join(b.dir, "kedge"), Dir: filepath.Join(b.dir, "dist"), Arch: "amd64", Log: slog.New(slog.DiscardHandler),
		Pin: func() (wire.Pin, error) { return b.pin(), nil },
	})
	mux := http.NewServeMux()
	for pattern, h := range files.Handlers() {
		mux.Handle(pattern, h)
	}
	mux.HandleFunc("GET /cacerts", func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.cacerts != nil {
			_, _ = w.Write(b.cacerts)
			return
		}
		_, _ = w.Write(encode(b.ca))
	})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		before := b.before
		if strings.Contains(r.URL.Path, "kedge-linux-") {
			b.ranges = append(b.ranges, r.Header.Get("Range"))
		}
		b.mu.Unlock()
		if before == nil || !before(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{leaf(t, b.ca, b.key)}} //nolint:gosec // the standard's own minimum
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// answer sets what sees requests first.
func (b *bed) answer(before func(w http.ResponseWriter, r *http.Request) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before, b.ranges = before, nil
}

func (b *bed) askedRanges() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ranges
}

// program puts a fake of that version where the server takes its own from. It is
// large enough for a download to be cut.
func (b *bed) program(t *testing.T, version string) {
	t.Helper()
	padding := make([]byte, 1<<20)
	if _, err := rand.Read(padding); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(fake, "VERSION", version) + "exit\n# " + hex.EncodeToString(padding) + "\n"
	must(t, os.WriteFile(filepath.Join(b.dir, "new"), []byte(text), 0o755))
	must(t, os.Rename(filepath.Join(b.dir, "new"), filepath.Join(b.dir, "kedge")))
}

func (b *bed) pin() wire.Pin { return sha256.Sum256(b.ca.RawSubjectPublicKeyInfo) }

func (b *bed) token() string {
	return wire.Token{Pin: b.pin(), ID: "abcdef", Secret: "abcdefghijklmnopqrstuvwxyz"}.Encode()
}

// authority makes an authority of that name.
func authority(t *testing.T, name pkix.Name) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: name, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert, key
}

// leaf is a server's certificate: it has 127.0.0.1 in it, and no 127.0.0.2.
func leaf(t *testing.T, ca *x509.Certificate, signer *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{wire.ServerIdentity}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), signer)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func encode(certs ...*x509.Certificate) []byte {
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fake is what the script sees of kedge. /run/check makes its check fail and
// /run/unready its status; what it is started with is added to /run/starts, for
// which data directories it is asked something to /mnt/asked.
const fake = `#!/bin/sh
case $1 in
version | check | status) echo "$1 $KEDGE_DATA_DIR $*" >>/mnt/asked ;;
esac
case $1 in
version) echo "kedge VERSION" ;;
unit)
	kind=$2 bin='' data='' name=''
	while [ $# -gt 0 ]; do
		case $1 in --bin-dir) bin=$2 ;; --data-dir) data=$2 ;; --name) name=$2 ;; esac
		shift
	done
	sed "s,@NAME@,$name,g; s,@BIN@,$bin,g; s,@DATA@,$data,g" "/mnt/service/$kind"
	;;
check)
	mkdir -p "${KEDGE_DATA_DIR:-/var/lib/kedge}/data"
	[ ! -f /run/check ] || { cat /run/check && exit 1; }
	;;
status)
	[ ! -f /run/unready ] || { echo 'enrolment waits' && echo 'this token has ended' >>/var/log/kedge.log && exit 1; }
	until [ -s /run/starts ]; do sleep 0.05; done
	;;
server | agent)
	mkdir -p /var/lib/kedge
	echo "VERSION $KEDGE_URL $*" >>/run/starts
	exec sleep 1000000
	;;
reset)
	pkill -x sleep
	case $* in *--keep-data*) ;; *) rm -rf /var/lib/kedge ;; esac
	rmdir -p /usr/libexec/kubernetes/kubelet-plugins/volume/exec 2>/dev/null || true
	;;
esac
`
