package links

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/internal/testx"
)

// states is a hub's knowledge that tests change.
type states struct {
	mu sync.Mutex
	m  map[string]State
}

func (s *states) get(node string) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[node]
}

func (s *states) set(node string, up bool, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[node] = State{Up: up, Since: time.Now().Add(-time.Hour), Message: message}
}

func start(t *testing.T, grace time.Duration, nodes ...string) (*Links, *states, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset()
	for _, name := range nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	known := &states{m: map[string]State{}}
	l := New(Config{
		Client: func() (kubernetes.Interface, error) { return client, nil },
		State:  known.get, OwnNode: "server", Settle: time.Millisecond, Grace: grace,
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Component().Run(ctx, func() {}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("end: %v", err)
		}
	})
	return l, known, client
}

func expect(t *testing.T, client *fake.Clientset, node string, status corev1.ConditionStatus, message string) {
	t.Helper()
	testx.Eventually(t, time.Minute, "the condition of "+node, func(ctx context.Context) error {
		n, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range n.Status.Conditions {
			if c.Type == Condition && c.Status == status && strings.Contains(c.Message, message) {
				return nil
			}
		}
		return fmt.Errorf("conditions are %+v", n.Status.Conditions)
	})
}

func TestNodeShowsItsLinkAndEachChangeIsAnEvent(t *testing.T) {
	l, known, client := start(t, time.Hour, "edge-1")
	known.set("edge-1", true, "from 203.0.113.7")
	l.Changed("edge-1")
	expect(t, client, "edge-1", corev1.ConditionTrue, "from 203.0.113.7")
	known.set("edge-1", false, "nothing heard for 5s")
	l.Changed("edge-1")
	expect(t, client, "edge-1", corev1.ConditionFalse, "nothing heard for 5s")
	testx.Eventually(t, time.Minute, "two events", func(ctx context.Context) error {
		list, err := client.CoreV1().Events("").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		reasons := map[string]string{}
		for _, e := range list.Items {
			reasons[e.Reason] = e.Type + " " + e.InvolvedObject.Name
		}
		if reasons[ReasonConnected] != "Normal edge-1" || reasons[ReasonDisconnected] != "Warning edge-1" {
			return fmt.Errorf("events are %v", reasons)
		}
		return nil
	})
}

func TestLinkThatCameBackAtOnceIsNotWritten(t *testing.T) {
	have := []corev1.NodeCondition{{Type: Condition, Status: corev1.ConditionTrue, Message: "from 203.0.113.7"}}
	if _, changed := condition(have, State{Up: true, Message: "from 203.0.113.9"}, time.Now()); changed {
		t.Error("another address alone is written")
	}
}

func TestNodesThatNeverComeAreCalledDownAndTheOwnOneIsNot(t *testing.T) {
	_, _, client := start(t, time.Millisecond, "server", "edge-1")
	expect(t, client, "edge-1", corev1.ConditionFalse, ErrNeverCame.Error())
	n, err := client.CoreV1().Nodes().Get(t.Context(), "server", metav1.GetOptions{})
	if err != nil || len(n.Status.Conditions) != 0 {
		t.Errorf("the server's own node has %+v, %v", n.Status.Conditions, err)
	}
}

func TestUnknownNodeIsLeftAlone(t *testing.T) {
	l, known, client := start(t, time.Hour, "edge-1")
	known.set("gone", true, "")
	known.set("edge-1", true, "")
	l.Changed("gone")
	l.Changed("edge-1")
	expect(t, client, "edge-1", corev1.ConditionTrue, "")
}
