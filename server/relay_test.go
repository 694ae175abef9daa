package server

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/server/egress"
)

func TestSwitchLearnsTheNodesPodRanges(t *testing.T) {
	client := fake.NewClientset(rangedNode("edge", "10.42.1.0/24"))
	s := &Server{log: slog.New(slog.DiscardHandler), egress: egress.New(egress.Config{ClusterCIDR: netip.MustParsePrefix("10.42.0.0/16")})}
	s.cfg.RunsNode, s.cfg.NodeName = true, "own"
	s.buildRelay()
	if s.Relay() == nil {
		t.Fatal("the server's own node has no way")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	factory := informers.NewSharedInformerFactory(client, 0)
	if err := s.egress.Watch(factory); err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.relayComponent().Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() { cancel(); <-ended; factory.Shutdown() })
	select {
	case <-ready:
	case <-ctx.Done():
		t.Fatal("not ready")
	}
	if nodes := s.relay.Stats().Nodes; len(nodes) != 1 || nodes[0].Node != "edge" {
		t.Fatalf("the switch knows %+v", nodes)
	}
	if _, err := client.CoreV1().Nodes().Create(ctx, rangedNode("own", "10.42.2.0/24"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for len(s.relay.Stats().Nodes) != 2 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("the switch knows %+v", s.relay.Stats().Nodes)
		}
	}
	s.Relay().Send(nil)
	if st := s.relay.Stats().Nodes[1]; st.PacketsIn != 1 {
		t.Errorf("%+v", st)
	}
}

func rangedNode(name, podCIDR string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: podCIDR}}
}
