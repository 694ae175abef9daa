package bed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/traffic/flow"
	"github.com/kedge-io/kedge/tests/traffic/iperf"
	corev1 "k8s.io/api/core/v1"
)

// End is a traffic that takes jobs.
type End struct {
	// Host is that from which it is asked: its own.
	Host *lab.Host
	Addr string
}

// Container is the traffic in container i of the pod.
func (b *Bed) Container(p *corev1.Pod, i int) End {
	return End{Host: b.Node(p.Spec.NodeName).Host, Addr: net.JoinHostPort(p.Status.PodIP, strconv.Itoa(ControlPort(p, i)))}
}

// HostEnd is the traffic that is a process of the host.
func (b *Bed) HostEnd(h *lab.Host) End {
	return End{Host: h, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(hostControl))}
}

// Run does the job. What went wrong is in the result.
func (e End) Run(ctx context.Context, job flow.Job) flow.Result {
	var r flow.Result
	text, err := e.post(ctx, "/run", job)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// Iperf runs iperf3 there.
func (e End) Iperf(ctx context.Context, test iperf.Test) (iperf.Report, error) {
	text, err := e.post(ctx, "/iperf3", test.Args())
	if err != nil {
		return iperf.Report{}, err
	}
	return iperf.Parse(text)
}

// IperfTo completes a test with the far end's server number i, 0 to Iperfs-1.
func (b *Bed) IperfTo(i int, test iperf.Test) iperf.Test {
	test.Host, test.Port = b.Peer.IP(), iperfBase+i%Iperfs
	return test
}

func (e End) post(ctx context.Context, path string, ask any) ([]byte, error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+e.Addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return e.Host.DialContext(ctx, network, address)
		},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s: %s: %s", e.Addr, path, resp.Status, text)
	}
	return text, err
}

// Directions are the trees that a change of both goes to.
var Directions = [2]string{"egress", "ingress"}
