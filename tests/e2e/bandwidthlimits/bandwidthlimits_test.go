// Package bandwidthlimits is the scenario in README.md.
package bandwidthlimits

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
	"github.com/kedge-io/kedge/tests/traffic/iperf"
	corev1 "k8s.io/api/core/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	mega = 1e6
	// seconds of each transfer, and how far from the expected rate it may be in percent.
	seconds = 5
	wide    = 15
	prefix  = "bandwidth.kedge.io/"
)

// scene is the cluster with its pods.
type scene struct {
	*bed.Bed
	limited, pair, host, free *corev1.Pod
}

func TestCeilingsHoldForPodsAndContainers(t *testing.T) {
	b := bed.Up(t, bed.Edge{Uplink: "1G"})
	node := b.Agents[0].Name()
	limited := bed.Pod("limited", node, "app")
	limited.Annotations["kubernetes.io/egress-bandwidth"] = "10M"
	limited.Annotations["kubernetes.io/ingress-bandwidth"] = "20M"
	pair := bed.Pod("pair", node, "slow", "quick")
	host := bed.HostPod("host", node, 0)
	for _, dir := range []string{"egress", "ingress"} {
		pair.Annotations[prefix+"container.slow."+dir+"-max"] = "10M"
		pair.Annotations[prefix+"container.quick."+dir+"-max"] = "30M"
		host.Annotations[prefix+"container.traffic."+dir+"-max"] = "15M"
	}
	pods := b.Create(t, limited, pair, host, bed.Pod("free", node, "app"))
	s := &scene{b, pods[0], pods[1], pods[2], pods[3]}
	t.Run("upstream's annotations", s.upstream)
	t.Run("iperf3", s.iperf)
	t.Run("datagrams", s.datagrams)
	t.Run("two containers", s.containers)
	t.Run("the pod's ceiling over both", s.podOverContainers)
	t.Run("pod in the host's network", s.hostNetwork)
	t.Run("shown", s.shown)
}

func tcp(far string, in bool) flow.Job {
	return flow.Job{Kind: flow.TCP, To: far, In: in, Streams: 2, Seconds: seconds}
}

// steady is the mean without the first second.
func steady(r flow.Result) float64 { return r.Mean(time.Second, seconds*time.Second) }

// each runs a test for both directions.
func each(t *testing.T, run func(t *testing.T, in bool)) {
	t.Run("out", func(t *testing.T) { run(t, false) })
	t.Run("in", func(t *testing.T) { run(t, true) })
}

func ceiling(in bool) float64 {
	if in {
		return 20 * mega
	}
	return 10 * mega
}

// upstream has a limited and a free pod send side by side.
func (s *scene) upstream(t *testing.T) {
	each(t, func(t *testing.T, in bool) {
		bed.Rates(t, func() []bed.Rate {
			r := bed.Whole(t,
				bed.Task{End: s.Container(s.limited, 0), Job: tcp(s.Far(), in)},
				bed.Task{End: s.Container(s.free, 0), Job: flow.Job{Kind: flow.UDP, To: s.Far(), In: in, Seconds: seconds, Rate: 50 * mega, Size: 1200}})
			return []bed.Rate{
				bed.Around("limited", steady(r[0]), bed.Payload(ceiling(in)), wide),
				bed.AtMost("limited, in any one second", r[0].Peak(time.Second), 1.4*ceiling(in)),
				bed.Around("free", steady(r[1]), 50*mega, wide),
			}
		})
	})
}

func (s *scene) iperf(t *testing.T) {
	each(t, func(t *testing.T, in bool) {
		bed.Rates(t, func() []bed.Rate {
			r, err := s.Container(s.limited, 0).Iperf(t.Context(), s.IperfTo(0, iperf.Test{Reverse: in, Streams: 8, Seconds: seconds}))
			cluster.Must(t, err)
			return []bed.Rate{bed.Around("8 streams", steady(r.Result), bed.Payload(ceiling(in)), wide)}
		})
	})
}

// datagrams sends more than the ceiling, and a little less in which nothing is lost.
func (s *scene) datagrams(t *testing.T) {
	each(t, func(t *testing.T, in bool) {
		job := flow.Job{Kind: flow.UDP, To: s.Far(), In: in, Seconds: seconds, Rate: int64(1.5 * ceiling(in)), Size: 1200}
		bed.Rates(t, func() []bed.Rate {
			r := bed.Whole(t, bed.Task{End: s.Container(s.limited, 0), Job: job})
			return []bed.Rate{bed.Around("flood", steady(r[0]), ceiling(in)*1200/1242, wide)}
		})
		job.Rate = int64(ceiling(in) / 2)
		r := bed.Whole(t, bed.Task{End: s.Container(s.limited, 0), Job: job})
		if r[0].Lost() != 0 {
			t.Errorf("%d of %d datagrams were lost at half the ceiling", r[0].Lost(), r[0].Sent)
		}
	})
}

// both lets both containers of the pair send as much as they can.
func (s *scene) both(t *testing.T, in bool) (slow, quick float64) {
	r := bed.Whole(t,
		bed.Task{End: s.Container(s.pair, 0), Job: tcp(s.Far(), in)},
		bed.Task{End: s.Container(s.pair, 1), Job: tcp(s.Far(), in)})
	return steady(r[0]), steady(r[1])
}

func (s *scene) containers(t *testing.T) {
	each(t, func(t *testing.T, in bool) {
		bed.Rates(t, func() []bed.Rate {
			slow, quick := s.both(t, in)
			return []bed.Rate{
				bed.Around("the one with 10", slow, bed.Payload(10*mega), wide),
				bed.Around("the one with 30", quick, bed.Payload(30*mega), wide),
			}
		})
	})
}

func (s *scene) podOverContainers(t *testing.T) {
	s.Annotate(t, s.pair, map[string]string{prefix + "egress-max": "20M", prefix + "ingress-max": "20M"})
	each(t, func(t *testing.T, in bool) {
		bed.Rates(t, func() []bed.Rate {
			slow, quick := s.both(t, in)
			return []bed.Rate{
				bed.Around("both together", slow+quick, bed.Payload(20*mega), wide),
				bed.AtMost("the one with 10", slow, bed.Payload(11.5*mega)),
			}
		})
	})
}

func (s *scene) hostNetwork(t *testing.T) {
	each(t, func(t *testing.T, in bool) {
		bed.Rates(t, func() []bed.Rate {
			r := bed.Whole(t, bed.Task{End: s.Container(s.host, 0), Job: tcp(s.Far(), in)})
			return []bed.Rate{bed.Around("in the host's network", steady(r[0]), bed.Payload(15*mega), wide)}
		})
	})
}

// shown asks the node's own command.
func (s *scene) shown(t *testing.T) {
	out, err := s.Agents[0].Kedge(t.Context(), "bandwidth", "show", "default/limited")
	cluster.Must(t, err)
	for _, want := range []string{"limited", "10", "20"} {
		if !strings.Contains(out, want) {
			t.Errorf("kedge bandwidth show has no %q:\n%s", want, out)
		}
	}
}
