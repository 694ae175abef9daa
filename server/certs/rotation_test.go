package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// keeper returns one that has made everything, at the time now.
func keeper(t *testing.T, config Config) *Keeper {
	t.Helper()
	config.Now = func() time.Time { return now }
	k := NewKeeper(config, slog.New(slog.DiscardHandler), nil)
	if err := k.Ensure(); err != nil {
		t.Fatal(err)
	}
	return k
}

func mustPhase(t *testing.T, want Phase, step func() (State, error)) {
	t.Helper()
	if state, err := step(); err != nil || state.Phase != want {
		t.Fatalf("phase %s, %v", state.Phase, err)
	}
}

func readPool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	certs, err := pki.ReadCerts(file)
	if err != nil {
		t.Fatal(err)
	}
	return pki.Pool(certs...)
}

// accepts says why who trusts roots refuses the certificate of pair as usage says.
func accepts(roots *x509.CertPool, pair Pair, usage x509.ExtKeyUsage) error {
	if _, err := tls.LoadX509KeyPair(pair.Cert, pair.Key); err != nil {
		return err
	}
	chain, err := pki.ReadCerts(pair.Cert)
	if err != nil {
		return err
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: pki.Pool(chain[1:]...), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return err
}

func TestEveryPhaseServesThoseOfThePhaseBefore(t *testing.T) {
	k := keeper(t, testConfig(t))
	p := k.Paths()
	type trust struct{ server, client, kubelet *x509.CertPool }
	read := func() trust {
		return trust{readPool(t, p.ServerTrust), readPool(t, p.ClientTrust), readPool(t, p.KubeletTrust)}
	}
	check := func(who string, roots trust) {
		t.Helper()
		for _, err := range []error{
			accepts(roots.server, p.Serving, x509.ExtKeyUsageServerAuth),
			accepts(roots.client, p.KubeletClient, x509.ExtKeyUsageClientAuth),
			accepts(roots.client, p.Supervisor, x509.ExtKeyUsageClientAuth),
		} {
			if err != nil {
				t.Errorf("%s: %v", who, err)
			}
		}
	}
	former := read()
	check("before", former)
	mustPhase(t, PhasePrepared, k.PrepareCA)
	prepared := read()
	check("prepared, who trusts the former", former)
	mustPhase(t, PhaseSwitched, k.SwitchCA)
	check("switched, who trusts the former", former)
	check("switched, who learnt in time", prepared)
	check("switched, who learns now", read())
	mustPhase(t, PhaseNone, k.FinishCA)
	check("finished, who learnt in time", prepared)
	check("finished", read())
	if accepts(former.server, p.Serving, x509.ExtKeyUsageServerAuth) == nil {
		t.Error("who trusts the former alone is still served")
	}
	if a, _ := k.Authorities(); len(a.Server) != 1 || len(a.ClientBundle) != 1 || len(a.Client.Cross) != 0 {
		t.Error("the former authority is still there")
	}
}

func TestNodeOfTheFormerAuthorityIsKnownUntilTheEnd(t *testing.T) {
	k := keeper(t, testConfig(t))
	before, err := k.Authorities()
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := before.Client.Issue(&key.PublicKey, pki.NodeClient("edge-1", wire.Pin{1}), now)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		do   func() (State, error)
		want bool
	}{{k.PrepareCA, true}, {k.SwitchCA, true}, {k.FinishCA, false}} {
		if _, err := step.do(); err != nil {
			t.Fatal(err)
		}
		a, err := k.Authorities()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pki.VerifyNode(chain, a.Clients, now); (err == nil) != step.want {
			t.Errorf("%s: %v", a.State.Phase, err)
		}
		pins := map[wire.Pin]bool{}
		for _, ca := range a.Server {
			pins[pki.PinOf(ca)] = true
		}
		if pins[pki.PinOf(before.Server[0])] != step.want {
			t.Errorf("%s: the former pin, trusted: %v", a.State.Phase, !step.want)
		}
	}
}

func TestStepsMayBeRepeatedAndNotSkipped(t *testing.T) {
	k := keeper(t, testConfig(t))
	for _, step := range []func() (State, error){k.SwitchCA, k.FinishCA} {
		if _, err := step(); !errors.Is(err, ErrPhase) {
			t.Error(err)
		}
	}
	mustPhase(t, PhasePrepared, k.PrepareCA)
	first, _ := k.Authorities()
	mustPhase(t, PhasePrepared, k.PrepareCA)
	if again, _ := k.Authorities(); again.State.Next != first.State.Next {
		t.Error("other authorities were made")
	}
	if _, err := k.FinishCA(); !errors.Is(err, ErrPhase) {
		t.Error(err)
	}
	mustPhase(t, PhaseSwitched, k.SwitchCA)
	mustPhase(t, PhaseSwitched, k.SwitchCA)
	mustPhase(t, PhaseSwitched, k.PrepareCA)
	mustPhase(t, PhaseNone, k.FinishCA)
	mustPhase(t, PhasePrepared, k.PrepareCA)
	if again, _ := k.Authorities(); again.State.Former != first.State.Next {
		t.Error("the second rotation does not begin where the first one ended")
	}
}

func TestRotationLeavesNoKeyBehind(t *testing.T) {
	config := testConfig(t)
	k := keeper(t, config)
	before := snapshot(t, config.Layout.ServerTLS())
	for _, step := range []func() (State, error){k.PrepareCA, k.SwitchCA, k.FinishCA} {
		if _, err := step(); err != nil {
			t.Fatal(err)
		}
	}
	after := snapshot(t, config.Layout.ServerTLS())
	if len(after) != len(before) {
		t.Errorf("%d files became %d", len(before), len(after))
	}
	for path, text := range after {
		same := before[path] == text
		if strings.HasPrefix(text, "-----BEGIN CERTIFICATE") && !strings.Contains(path, "-ca") {
			continue // a leaf, of course a new one
		}
		if authority := strings.Contains(path, "-ca.") || strings.Contains(path, "-ca-bundle."); authority == same {
			t.Errorf("%s: unchanged %v", path, same)
		}
	}
}

func TestAuthoritiesOfTheFirstVersionSaySo(t *testing.T) {
	config := testConfig(t)
	k := keeper(t, config)
	// A path length of zero is what the first version gave.
	state, err := k.PrepareCA()
	if err != nil || !state.Crossed {
		t.Fatal(state, err)
	}
	for _, s := range k.Paths().slots() {
		if err := os.Remove(s.cross(k.Paths())); err != nil {
			t.Fatal(err)
		}
	}
	mustPhase(t, PhaseSwitched, k.SwitchCA)
	if a, _ := k.Authorities(); len(a.Client.Cross) != 0 || len(a.Server) != 2 {
		t.Error("a cross certificate from nowhere")
	}
}

func TestUnknownPhaseStopsTheStart(t *testing.T) {
	config := testConfig(t)
	k := keeper(t, config)
	mustPhase(t, PhasePrepared, k.PrepareCA)
	path := filepath.Join(k.Paths().Rotation, stateFile)
	if err := os.WriteFile(path, []byte(`{"phase":"later"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Ensure(); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatal(err)
	}
}

func TestRotateGivesNewCertificatesAndKeysOnRequest(t *testing.T) {
	config := testConfig(t)
	k := keeper(t, config)
	p := k.Paths()
	for _, newKeys := range []bool{false, true} {
		before, err := pki.ReadCert(p.Serving.Cert)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Rotate(newKeys); err != nil {
			t.Fatal(err)
		}
		after, err := pki.ReadCert(p.Serving.Cert)
		if err != nil || after.Equal(before) || (pki.PinOf(after) == pki.PinOf(before)) == newKeys {
			t.Errorf("new keys %v: %v", newKeys, err)
		}
		if err := accepts(readPool(t, p.ServerTrust), p.Serving, x509.ExtKeyUsageServerAuth); err != nil {
			t.Error(err)
		}
		admin, err := os.ReadFile(config.AdminKubeconfig)
		if err != nil || !strings.Contains(string(admin), encoded(t, p.Admin.Cert)) {
			t.Error("the administrator's kubeconfig is not new", err)
		}
	}
}

func encoded(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(text)
}

func TestReadOnlyDiskChangesNothing(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root writes to read-only folders: a folder in the way stands for the disk")
	}
	config := testConfig(t)
	k := keeper(t, config)
	before := snapshot(t, config.Layout.ServerTLS())
	// The name under which the next authorities are made aside cannot be removed.
	aside := k.Paths().Rotation + unfinished
	if err := os.WriteFile(k.Paths().Rotation, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.PrepareCA(); err == nil {
		t.Fatal("no error")
	}
	if err := errors.Join(os.Remove(k.Paths().Rotation), os.RemoveAll(aside)); err != nil {
		t.Fatal(err)
	}
	for path, text := range snapshot(t, config.Layout.ServerTLS()) {
		if before[path] != text {
			t.Errorf("%s was changed", path)
		}
	}
	if _, err := os.Stat(aside); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
