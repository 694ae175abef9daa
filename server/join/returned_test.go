package join

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/wire"
)

func TestMachineThatARestoreForgotIsLetInAsIfItJoined(t *testing.T) {
	p := newPlant(t, nil)
	m := newMachine(t)
	p.admitted(t, m, p.token(t, TokenOptions{}), "edge-1")
	var told []string
	p.join.config.Joining = func(_ context.Context, node string, addr netip.Addr) { told = append(told, node+" "+addr.String()) }
	renew := func() {
		t.Helper()
		if _, refusal := p.ask(t, m, wire.PathRenew, "", m.request(t, p, "edge-1")); refusal != nil {
			t.Fatal(refusal)
		}
	}
	if renew(); len(told) != 0 {
		t.Errorf("a node that is known counts as joining: %q", told)
	}
	// The database is now that of before it joined.
	if err := p.api.CoreV1().Secrets(Namespace).Delete(t.Context(), nodePrefix+"edge-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	renew()
	renew()
	if want := []string{"edge-1 127.0.0.1"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	claim, err := NewNodes(p.api).Get(t.Context(), "edge-1")
	if err != nil || !claim.From.IsValid() {
		t.Errorf("where it comes from is not kept for a restart: %+v, %v", claim, err)
	}
}
