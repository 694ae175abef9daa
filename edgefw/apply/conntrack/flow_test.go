package conntrack

import (
	"testing"

	"github.com/kedge-io/kedge/edgefw/apply/nfnl"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte{20, 0, 1, 128, 16, 0, 1, 128, 8, 0, 1, 0, 1, 2, 3, 4, 8, 0, 2, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		if flow, ok := parse(nfnl.Header{}, b); ok && (!flow.From.IsValid() || !flow.To.IsValid()) {
			t.Errorf("a flow without addresses: %+v", flow)
		}
	})
}
