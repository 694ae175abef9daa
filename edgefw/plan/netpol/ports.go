package netpol

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/edgefw/model"
)

const maxPort = 65535

// protocol is TCP where none is written.
func protocol(p *corev1.Protocol) model.Protocol {
	if p == nil || *p == "" {
		return model.TCP
	}
	return model.Protocol(strings.ToLower(string(*p)))
}
