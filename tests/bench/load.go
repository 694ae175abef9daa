package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/internal/testx"
)

// objectBytes is the size of a config map's data.
const objectBytes = 1024

// rate is the outcome of one load. Latencies are milliseconds.
type rate struct {
	Subject      string
	What         string
	PerSecond    float64
	P50ms, P99ms float64
}

func measureLoad(ctx context.Context, o options, r *results, subjects []subject) error {
	for i := range o.repeat {
		for _, s := range subjects {
			c, err := client(s)
			if err != nil {
				return err
			}
			for _, clients := range []int{1, 8, 32} {
				got, err := createObjects(ctx, s, fmt.Sprintf("load-%d-%d", i, clients), clients, o.load)
				if err != nil {
					return err
				}
				progress("%+v", got)
				r.Rates = append(r.Rates, got)
			}
			got, err := createPods(ctx, c, o.pods)
			if err != nil {
				return fmt.Errorf("pods of %s: %w", s.name(), err)
			}
			got.Subject = s.name()
			progress("%+v", got)
			r.Rates = append(r.Rates, got)
		}
	}
	return nil
}

// createObjects makes config maps for the time d and removes them afterwards.
func createObjects(ctx context.Context, s subject, namespace string, clients int, d time.Duration) (rate, error) {
	c, err := client(s)
	if err != nil {
		return rate{}, err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := c.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return rate{}, err
	}
	var mu sync.Mutex
	var took []time.Duration
	var problems []error
	var wg sync.WaitGroup
	began := time.Now()
	for worker := range clients {
		wg.Go(func() {
			mine, err := createUntil(ctx, s, namespace, worker, began.Add(d))
			mu.Lock()
			defer mu.Unlock()
			took, problems = append(took, mine...), append(problems, err)
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	if err := errors.Join(problems...); err != nil {
		return rate{}, err
	}
	slices.Sort(took)
	// One call, so that the next load finds an idle cluster soon.
	err = c.CoreV1().ConfigMaps(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	return rate{
		Subject: s.name(), What: fmt.Sprintf("config maps, %d clients", clients),
		PerSecond: float64(len(took)) / elapsed.Seconds(), P50ms: quantile(took, 0.50), P99ms: quantile(took, 0.99),
	}, err
}

// createUntil is one client with a connection of its own.
func createUntil(ctx context.Context, s subject, namespace string, worker int, end time.Time) ([]time.Duration, error) {
	c, err := client(s)
	if err != nil {
		return nil, err
	}
	data := map[string]string{"data": strings.Repeat("x", objectBytes)}
	var took []time.Duration
	for i := 0; time.Now().Before(end); i++ {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c-%d-%d", worker, i)}, Data: data}
		began := time.Now()
		if _, err := c.CoreV1().ConfigMaps(namespace).Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// quantile of sorted durations, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(q*float64(len(sorted)-1))].Microseconds()) / 1000
}

// createPods creates n pods at once, waits until all run and removes them.
// Latencies are from the creation of a pod to its being seen Running.
func createPods(ctx context.Context, c kubernetes.Interface, n int) (rate, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	began := time.Now()
	var wg sync.WaitGroup
	problems := make([]error, n)
	for i := range n {
		wg.Go(func() { problems[i] = createPod(ctx, c, fmt.Sprintf("load-%d", i)) })
	}
	wg.Wait()
	if err := errors.Join(problems...); err != nil {
		return rate{}, err
	}
	selector := metav1.ListOptions{LabelSelector: "bench=pod"}
	seen := map[string]time.Duration{}
	err := testx.Poll(ctx, func(ctx context.Context) error {
		list, err := c.CoreV1().Pods("default").List(ctx, selector)
		if err != nil {
			return err
		}
		for i := range list.Items {
			p := &list.Items[i]
			if _, ok := seen[p.Name]; !ok && p.Status.Phase == corev1.PodRunning {
				seen[p.Name] = time.Since(began)
			}
		}
		if len(seen) < n {
			return fmt.Errorf("%d of %d pods run", len(seen), n)
		}
		return nil
	})
	if err != nil {
		return rate{}, err
	}
	elapsed := time.Since(began)
	var took []time.Duration
	for _, d := range seen {
		took = append(took, d)
	}
	slices.Sort(took)
	return rate{
		What: fmt.Sprintf("%d pods at once", n), PerSecond: float64(n) / elapsed.Seconds(),
		P50ms: quantile(took, 0.50), P99ms: quantile(took, 0.99),
	}, removePods(ctx, c, selector)
}

func removePods(ctx context.Context, c kubernetes.Interface, selector metav1.ListOptions) error {
	now := int64(0)
	if err := c.CoreV1().Pods("default").DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, selector); err != nil {
		return err
	}
	return testx.Poll(ctx, func(ctx context.Context) error {
		list, err := c.CoreV1().Pods("default").List(ctx, selector)
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d pods are left", len(list.Items))
		}
		return err
	})
}
