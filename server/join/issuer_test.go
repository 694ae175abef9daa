package join

import (
	"log/slog"
	"testing"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
)

// A node that has got a certificate may not have saved it: what it shows counts.
func TestClaimSaysWhoSignedTheCertificateThatWasShown(t *testing.T) {
	p := newPlant(t, nil)
	m := newMachine(t)
	p.admitted(t, m, p.token(t, TokenOptions{}), "edge-1")
	former, err := pki.ReadCert(p.paths.ClientCA.Cert)
	if err != nil {
		t.Fatal(err)
	}
	state := replaceAuthorities(t, p)
	for _, want := range []string{pki.PinOf(former).String(), state.NextClient} {
		response, refusal := p.ask(t, m, wire.PathRenew, "", m.request(t, p, "edge-1"))
		if refusal != nil {
			t.Fatal(refusal)
		}
		claim, err := NewNodes(p.api).Get(t.Context(), "edge-1")
		if err != nil || claim.Issuer.String() != want {
			t.Errorf("issuer %s, want %s: %v", claim.Issuer, want, err)
		}
		m.cert.Certificate = [][]byte{first(t, response.KubeletClient).Raw}
	}
}

// replaceAuthorities goes on until the next authorities sign.
func replaceAuthorities(t *testing.T, p *plant) (state certs.State) {
	t.Helper()
	k := certs.NewKeeper(p.certs, slog.New(slog.DiscardHandler), nil)
	for _, step := range []func() (certs.State, error){k.PrepareCA, k.SwitchCA} {
		var err error
		if state, err = step(); err != nil {
			t.Fatal(err)
		}
	}
	return state
}
