package hostports

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
)

// Annotation is where kubelet writes the ports of a container, a list of
// core/v1 ContainerPort (k8s.io/kubernetes/pkg/kubelet/kuberuntime/labels.go).
const Annotation = "io.kubernetes.container.ports"

// The protocols of a [Port].
const (
	TCP = "tcp"
	UDP = "udp"
)

// Port is a port of the host.
type Port struct {
	// Protocol is TCP or UDP.
	Protocol string
	// Number is between 1 and 65535.
	Number uint16
}

// String is for instance "tcp/9100".
func (p Port) String() string { return fmt.Sprintf("%s/%d", p.Protocol, p.Number) }

// declared is the part of a ContainerPort that counts. In the network of the
// host both numbers are the same.
type declared struct {
	ContainerPort int    `json:"containerPort"`
	HostIP        string `json:"hostIP"`
	Protocol      string `json:"protocol"`
}

// Declared returns the ports that containers of pods in the host's network
// declare, sorted and each once. Each container is given by its annotations.
// What cannot be understood declares nothing.
func Declared(containers []map[string]string) []Port {
	var ports []Port
	for _, annotations := range containers {
		var list []declared
		if json.Unmarshal([]byte(annotations[Annotation]), &list) != nil {
			continue
		}
		for _, d := range list {
			if p, ok := d.port(); ok {
				ports = append(ports, p)
			}
		}
	}
	slices.SortFunc(ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
	})
	return slices.Compact(ports)
}

// port leaves out ports that are bound to loopback, because a connection from
// elsewhere would not reach them.
func (d declared) port() (Port, bool) {
	p := Port{Number: uint16(d.ContainerPort)} //nolint:gosec // checked below
	switch d.Protocol {
	case "", "TCP":
		p.Protocol = TCP
	case "UDP":
		p.Protocol = UDP
	default:
		return p, false
	}
	if addr, err := netip.ParseAddr(d.HostIP); err == nil && addr.Unmap().IsLoopback() {
		return p, false
	}
	return p, d.ContainerPort >= 1 && d.ContainerPort <= 65535
}
