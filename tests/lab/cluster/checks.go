package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Check is one thing that a pod of the application is to try, see tests/app/check.go.
type Check struct {
	// Kind is peer, hostname, get, put, tcp, udp, ping, dns or hold.
	Kind string `json:"kind"`
	// To is address:port, for ping an address, for dns a name.
	To    string `json:"to"`
	Bytes int64  `json:"bytes,omitempty"`
	// Seconds bound it; 0 for 20. Hold goes on so long.
	Seconds int `json:"seconds"`
}

// CheckResult is what came of a check.
type CheckResult struct {
	// Saw is the address that the other end saw, the name of the pod that answered, or what a name
	// stands for.
	Saw    string        `json:"saw"`
	Error  string        `json:"error"`
	Took   time.Duration `json:"took"`
	Worked bool          `json:"worked"`
}

// Node is the node of that name, or nil.
func (c *Cluster) Node(name string) *Node {
	for _, n := range append([]*Node{c.Server}, c.Agents...) {
		if n.Name() == name {
			return n
		}
	}
	return nil
}

// Checks lets the pod run all checks at the same time. The request comes from the pod's own host, so
// it needs nothing between the nodes.
func (c *Cluster) Checks(ctx context.Context, from *corev1.Pod, checks []Check) ([]CheckResult, error) {
	const patience = 20
	longest := patience
	list := make([]Check, len(checks))
	for i, k := range checks {
		if k.Seconds == 0 {
			k.Seconds = patience
		}
		longest = max(longest, k.Seconds)
		list[i] = k
	}
	body, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	port := from.Spec.Containers[0].Ports[0].ContainerPort
	url := fmt.Sprintf("http://%s:%d/checks", from.Status.PodIP, port)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	client := HTTP(c.Node(from.Spec.NodeName).Host)
	client.Timeout = time.Duration(longest+10) * time.Second
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("checks of pod %s: %w", from.Name, err)
	}
	defer resp.Body.Close()
	var results []CheckResult
	err = json.NewDecoder(resp.Body).Decode(&results)
	if err == nil && len(results) != len(checks) {
		err = fmt.Errorf("%d results of %d checks", len(results), len(checks))
	}
	return results, err
}
