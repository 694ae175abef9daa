// Package bandwidthview is the scenario in README.md.
package bandwidthview

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/agent/bandwidth/view"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// scene is a cluster whose pods send all the time.
type scene struct {
	*bed.Bed
	edge          *cluster.Node
	limited, pair *corev1.Pod
}

func TestBandwidthIsSeenOnTheNodeAndOnTheServer(t *testing.T) {
	b := bed.Up(t, bed.Edge{Uplink: "100M"})
	s := &scene{Bed: b, edge: b.Agents[0]}
	limited := bed.Pod("limited", s.edge.Name(), "app")
	limited.Annotations["kubernetes.io/egress-bandwidth"] = "10M"
	pair := bed.Pod("pair", s.edge.Name(), "slow", "quick")
	pair.Annotations["bandwidth.kedge.io/container.slow.egress-max"] = "2M"
	pods := b.Create(t, limited, pair)
	s.limited, s.pair = pods[0], pods[1]
	b.WaitShaped(t, s.edge)
	t.Run("top", s.top)
	t.Run("show", s.show)
	t.Run("plan", s.plan)
	t.Run("metrics", s.metrics)
	t.Run("other nodes", s.others)
	t.Run("measure", s.measure)
}

// sending runs f while both pods send.
func (s *scene) sending(t *testing.T, f func()) {
	t.Helper()
	job := flow.Job{Kind: flow.TCP, To: s.Far(), Streams: 2, Seconds: 15}
	done := make(chan struct{})
	go func() {
		defer close(done)
		bed.Whole(t, bed.Task{End: s.Container(s.limited, 0), Job: job}, bed.Task{End: s.Container(s.pair, 0), Job: job})
	}()
	f()
	<-done
}

func (s *scene) top(t *testing.T) {
	s.sending(t, func() {
		for _, c := range []struct {
			at   *cluster.Node
			args []string
		}{{s.edge, nil}, {s.Server, []string{"--node", s.edge.Name()}}} {
			s.waitTop(t, c.at, c.args...)
			text, err := c.at.Kedge(t.Context(), slices.Concat([]string{"bandwidth", "top"}, c.args)...)
			cluster.Must(t, err)
			t.Logf("\n%s", text)
			for _, want := range []string{"(control)", "(names)", "(host)", "default/limited", "default/pair", "  slow", "10M", "of 100 Mbit/s"} {
				if !strings.Contains(text, want) {
					t.Errorf("top has no %q:\n%s", want, text)
				}
			}
		}
	})
}

// waitTop waits until the figures are those of traffic that is limited.
func (s *scene) waitTop(t *testing.T, at *cluster.Node, args ...string) {
	t.Helper()
	near := func(rate, ceiling float64) bool { return rate > ceiling/2 && rate <= 1.1*ceiling }
	testx.Eventually(t, 30*time.Second, "figures of pods that send", func(ctx context.Context) error {
		out, err := at.Kedge(ctx, slices.Concat([]string{"bandwidth", "top", "-o", "json"}, args)...)
		if err != nil {
			return err
		}
		var top view.Top
		if err := json.Unmarshal([]byte(out), &top); err != nil {
			return err
		}
		rates := map[string]float64{}
		for _, r := range top.Rows {
			rates[r.Pod+"/"+r.Container] = float64(r.Directions.Egress.Now)
		}
		if !near(rates["limited/"], 10e6) || !near(rates["pair/slow"], 2e6) || !near(rates["pair/"], 2e6) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

func (s *scene) show(t *testing.T) {
	for _, c := range []struct {
		pod   string
		wants []string
	}{
		{"default/limited", []string{"10 Mbit/s", "annotation kubernetes.io/egress-bandwidth", "kedge-out0 6b65:"}},
		{"pair", []string{"slow", "2 Mbit/s", "annotation bandwidth.kedge.io/container.slow.egress-max", "rest"}},
	} {
		text, err := s.edge.Kedge(t.Context(), "bandwidth", "show", c.pod)
		cluster.Must(t, err)
		t.Logf("\n%s", text)
		for _, want := range c.wants {
			if !strings.Contains(text, want) {
				t.Errorf("show has no %q:\n%s", want, text)
			}
		}
	}
}

func (s *scene) plan(t *testing.T) {
	text, err := s.edge.Kedge(t.Context(), "bandwidth", "plan")
	cluster.Must(t, err)
	if !strings.Contains(text, "# pod default/limited") || !strings.Contains(text, "# container default/pair/slow") {
		t.Errorf("the plan lacks the pods:\n%s", text)
	}
	text, err = s.Server.Kedge(t.Context(), "bandwidth", "plan", "--check", "--node", s.edge.Name())
	if err != nil || text != "the kernel is as planned\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

func (s *scene) metrics(t *testing.T) {
	text := s.Kubectl(t, "get", "--raw", "/api/v1/nodes/"+s.edge.Name()+"/proxy/metrics")
	for _, want := range []string{
		"kedge_bandwidth_up 1",
		`kedge_bandwidth_uplink_rate{direction="egress",uplink="eth0"} 1e+08`,
		`kedge_bandwidth_pod_max{direction="egress",namespace="default",pod="limited"} 1e+07`,
		`kedge_bandwidth_pod_bytes_total{direction="egress",namespace="default",pod="limited",scope="uplink",uplink="eth0"}`,
		`kedge_bandwidth_container_bytes_total{container="slow",direction="egress",namespace="default",pod="pair",scope="uplink",uplink="eth0"}`,
		`kedge_bandwidth_class_bytes_total{class="control",`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("kubelet's metrics have no %s", want)
		}
	}
}

func (s *scene) others(t *testing.T) {
	for _, c := range []struct {
		at   *cluster.Node
		args []string
		want string
	}{
		{s.Server, nil, "name one with --node"},
		{s.Server, []string{"--node", "nobody"}, "nobody"},
		{s.edge, []string{"--node", "nobody"}, "on a server"},
	} {
		_, err := c.at.Kedge(t.Context(), slices.Concat([]string{"bandwidth", "top"}, c.args)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %q", c.at.Name(), c.args, err, c.want)
		}
	}
}

// measure goes over the link, whose lanes are the host's own traffic: it shows
// that this is held to the uplink in both directions, too.
func (s *scene) measure(t *testing.T) {
	text, err := s.Server.Kedge(t.Context(), "bandwidth", "measure", s.edge.Name(), "--duration", "2s", "-o", "json")
	cluster.Must(t, err)
	var m view.Measurement
	cluster.Must(t, json.Unmarshal([]byte(text), &m))
	if m.Egress > 100e6 || m.Ingress > 100e6 || m.Egress < 10e6 || m.Ingress < 10e6 || !strings.HasPrefix(m.Option, "--uplink auto=") {
		t.Errorf("through an uplink of 100 Mbit/s: %s", text)
	}
}
