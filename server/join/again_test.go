package join

import (
	"net/http"
	"testing"

	"github.com/kedge-io/kedge/internal/wire"
)

func TestOnlyTheHolderOfANameJoinsAgain(t *testing.T) {
	const again = wire.PathJoin + "?" + wire.QueryAgain + "=true"
	p := newPlant(t, nil)
	token, m, stranger := p.token(t, TokenOptions{Uses: 2}), newMachine(t), newMachine(t)
	p.admitted(t, m, token, "edge-1")
	for node, who := range map[string]*machine{"edge-1": stranger, "edge-2": m} {
		if _, refusal := p.ask(t, who, again, token, who.request(t, p, node)); refusal == nil || refusal.Code != wire.CodeIdentity {
			t.Errorf("as %s: %v", node, refusal)
		}
	}
	if _, err := NewNodes(p.api).Get(t.Context(), "edge-2"); err == nil {
		t.Error("a name was given to a machine that has not joined as it before")
	}
	m.cert = nil // of an authority that is gone
	if _, refusal := p.ask(t, m, again, token, m.request(t, p, "edge-1")); refusal != nil {
		t.Error(refusal)
	}
	if _, refusal := p.ask(t, m, again, "", m.request(t, p, "edge-1")); refusal == nil || refusal.Code != wire.CodeTokenMissing {
		t.Error("without a token:", refusal)
	}
	if err := NewNodes(p.api).Revoke(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	runComponent(t, p.join)
	if status, _, _ := p.do(t, m, http.MethodPost, again, token, m.request(t, p, "edge-1")); status != http.StatusForbidden {
		t.Error("a revoked machine joined again:", status)
	}
}
