package join

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/wire"
)

// Claims returns who holds a node name now. Records that a person spoilt are left
// out.
func (s *Server) Claims(ctx context.Context) ([]Claim, error) {
	client, err := s.api()
	if err != nil {
		return nil, err
	}
	list, err := client.CoreV1().Secrets(Namespace).List(ctx, metav1.ListOptions{LabelSelector: recordLabel + "=" + nodeRecord})
	if err != nil {
		return nil, fmt.Errorf("list claims of node names: %w", err)
	}
	var claims []Claim
	for i := range list.Items {
		claim, err := parseClaim(&list.Items[i])
		if err == nil && claim.Device != (wire.Pin{}) {
			claims = append(claims, claim)
		}
	}
	return claims, nil
}
