package metrics

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Name is the component's name and that of the packaged manifest.
const Name = "metrics-server"

const (
	// DefaultResolution is the time between two figures of a node. One answer
	// of a kubelet with ten pods is 1-2 kB compressed (estimated): at this rate 3-6 MB
	// a day and node.
	DefaultResolution = 30 * time.Second
	// MinResolution is as often as kubelet itself looks.
	MinResolution = 10 * time.Second
	// timeout bounds the answer of one kubelet.
	timeout = 8 * time.Second
	// kubeletPort is the port of every kubelet as its node's link knows it.
	kubeletPort = 10250
)

// Config of the resource metrics API.
type Config struct {
	// Resolution is the time between two figures of a node.
	Resolution time.Duration
	// DialKubelet connects to a kubelet; the host in addr is a node's name.
	DialKubelet func(ctx context.Context, network, addr string) (net.Conn, error)
	// KubeletCA is the file with the authority of kubelets; ClientCert and
	// ClientKey are the files of the API server's identity towards them. The
	// latter are read again when they change.
	KubeletCA, ClientCert, ClientKey string
}

// ValidateResolution says what is wrong with d.
func ValidateResolution(d time.Duration) error {
	if d < MinResolution {
		return fmt.Errorf("--metrics-resolution %s is shorter than kubelets look themselves: use %s or more", d, MinResolution)
	}
	return nil
}
