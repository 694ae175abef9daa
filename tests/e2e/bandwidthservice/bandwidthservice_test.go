// Package bandwidthservice is the scenario in README.md.
package bandwidthservice

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
)

const uplink = 10e6

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

func TestAServiceOnTheSameNodeIsNoTrafficOfTheUplink(t *testing.T) {
	b := bed.Up(t, bed.Edge{Uplink: "10M"})
	edge := b.Agents[0]
	free, slow := bed.Pod("free", edge.Name(), "app"), bed.Pod("slow", edge.Name(), "app")
	slow.Annotations["kubernetes.io/egress-bandwidth"] = "20M"
	pods := b.Create(t, free, slow, bed.Pod("backend", edge.Name(), "app"))
	b.WaitShaped(t, edge)
	service, err := b.Client.CoreV1().Services(metav1.NamespaceDefault).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "backend"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "backend"},
			Ports:    []corev1.ServicePort{{Name: "control", Port: 9000}, {Name: "data", Port: 9001}},
		},
	}, metav1.CreateOptions{})
	cluster.Must(t, err)
	job := flow.Job{Kind: flow.TCP, To: net.JoinHostPort(service.Spec.ClusterIP, "9001"), Streams: 1, Seconds: 5}
	testx.Eventually(t, cluster.Patience, "the service has an address on the node", func(ctx context.Context) error {
		try := job
		try.Seconds = 1
		if r := b.Container(pods[0], 0).Run(ctx, try); r.Error != "" {
			return errors.New(r.Error)
		}
		return nil
	})
	whole := func(p *corev1.Pod) float64 {
		r := bed.Whole(t, bed.Task{End: b.Container(p, 0), Job: job})[0]
		return float64(r.Bytes*8) / job.Seconds
	}
	bed.Rates(t, func() []bed.Rate {
		return []bed.Rate{
			bed.AtLeast("the free pod to a service on its node", whole(pods[0]), 5*uplink),
			bed.Around("the limited pod", whole(pods[1]), bed.Payload(20e6), 8),
		}
	})
}
