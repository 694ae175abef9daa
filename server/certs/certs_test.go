package certs

import (
	"crypto/tls"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
)

var now = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func testConfig(t *testing.T) Config {
	t.Helper()
	return baseConfig(t.TempDir())
}

func baseConfig(dir string) Config {
	return Config{
		Layout: paths.New(filepath.Join(dir, "data")), NodeName: "server-1", ClusterDomain: "cluster.local",
		ServiceIPs:       []netip.Addr{netip.MustParseAddr("10.43.0.1")},
		AdvertiseAddress: netip.MustParseAddr("192.0.2.7"),
		ExtraSANs:        []string{"edge.example.org", "203.0.113.9"}, HTTPSPort: 6443,
		AdminKubeconfig: filepath.Join(dir, "etc", "kedge.yaml"), AdminMode: 0o640,
	}
}

func mustEnsure(t *testing.T, config Config, at time.Time) Paths {
	t.Helper()
	p, err := Ensure(config, at, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestSecondCallChangesNothing(t *testing.T) {
	config := testConfig(t)
	mustEnsure(t, config, now)
	before := snapshot(t, config.Layout.DataDir)
	mustEnsure(t, config, now.Add(time.Hour))
	after := snapshot(t, config.Layout.DataDir)
	if len(before) != len(after) || len(before) < 30 {
		t.Fatalf("%d files became %d", len(before), len(after))
	}
	for path, text := range before {
		if after[path] != text {
			t.Errorf("%s was changed", path)
		}
	}
}

func TestEveryFileWithAKeyIsPrivate(t *testing.T) {
	config := testConfig(t)
	mustEnsure(t, config, now)
	for path, text := range snapshot(t, config.Layout.DataDir) {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		secret := strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "secret:") || strings.HasSuffix(path, "kubeconfig")
		if secret && st.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v", path, st.Mode())
		}
	}
	for path, want := range map[string]fs.FileMode{config.Layout.ServerTLS(): 0o700, config.Layout.ServerCred(): 0o700, config.AdminKubeconfig: 0o640} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
}

func TestServingCertificateCoversEveryName(t *testing.T) {
	config := testConfig(t)
	p := mustEnsure(t, config, now)
	cert, err := pki.ReadCert(p.Serving.Cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"localhost", "server-1", "kubernetes.default.svc.cluster.local", "edge.example.org",
		"127.0.0.1", "::1", "10.43.0.1", "192.0.2.7", "203.0.113.9",
	} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if got := cert.IPAddresses[0].String(); got != "192.0.2.7" {
		t.Errorf("first address is %s", got)
	}
	config.ExtraSANs = append(config.ExtraSANs, "new.example.org")
	mustEnsure(t, config, now)
	again, err := pki.ReadCert(p.Serving.Cert)
	if err != nil || again.VerifyHostname("new.example.org") != nil {
		t.Errorf("a new --tls-san was not taken up: %v", err)
	}
	if _, err := tls.LoadX509KeyPair(p.Serving.Cert, p.Serving.Key); err != nil {
		t.Error(err)
	}
}

func TestKubeconfigsCanBeUsed(t *testing.T) {
	config := testConfig(t)
	p := mustEnsure(t, config, now)
	for _, path := range []string{p.AdminKubeconfig, p.ControllerManagerKubeconfig, p.SchedulerKubeconfig, p.SupervisorKubeconfig, config.AdminKubeconfig} {
		rest, err := kubeclient.FromFile(path, "")
		if err != nil || rest.Host != "https://127.0.0.1:6443" {
			t.Errorf("%s: %v, %v", path, rest, err)
		}
	}
}

func TestClockThatGoesBackIsNoReasonToFailOrRenew(t *testing.T) {
	config := testConfig(t)
	mustEnsure(t, config, now)
	before := snapshot(t, config.Layout.DataDir)
	mustEnsure(t, config, now.Add(-12*time.Hour))
	for path, text := range snapshot(t, config.Layout.DataDir) {
		if before[path] != text {
			t.Errorf("%s was changed", path)
		}
	}
}

func TestClockThatWasAheadIsMadeGood(t *testing.T) {
	config := testConfig(t)
	mustEnsure(t, config, now)
	mustEnsure(t, config, now.AddDate(3, 0, 0))
	p := mustEnsure(t, config, now)
	cert, err := pki.ReadCert(p.Serving.Cert)
	if err != nil || !pki.IssuedAt(cert).Equal(now) {
		t.Fatal(err, pki.IssuedAt(cert))
	}
}

func TestLifetimeIsThatOfTheOption(t *testing.T) {
	config := testConfig(t)
	config.Lifetime = 10 * time.Minute
	p := mustEnsure(t, config, now)
	for _, pair := range []Pair{p.Serving, p.Admin, p.Supervisor, p.AuthProxy} {
		if cert, err := pki.ReadCert(pair.Cert); err != nil || !cert.NotAfter.Equal(now.Add(10*time.Minute)) {
			t.Errorf("%s: until %v, %v", pair.Cert, cert.NotAfter, err)
		}
	}
	config.Lifetime = time.Second
	if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "--certificate-lifetime") {
		t.Error(err)
	}
}

func TestLostKeysBesideADatabaseAreNotMadeAgain(t *testing.T) {
	config := testConfig(t)
	p := mustEnsure(t, config, now)
	if err := os.MkdirAll(filepath.Dir(config.Layout.Database()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config.Layout.Database(), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustEnsure(t, config, now)
	if err := os.Remove(p.EncryptionConfig); err != nil {
		t.Fatal(err)
	}
	_, err := Ensure(config, now, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), p.EncryptionConfig) || !strings.Contains(err.Error(), "backup") {
		t.Fatal(err)
	}
}

func TestValidateNamesEachProblem(t *testing.T) {
	config := testConfig(t)
	config.NodeName, config.HTTPSPort, config.ExtraSANs = "Bad_Name", 0, []string{"not a name"}
	err := config.Validate()
	for _, word := range []string{"Bad_Name", "--https-listen-port", "not a name"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
}
