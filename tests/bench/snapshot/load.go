package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// pace is the time from the begin of one request to that of the next, of each
// client. With it the load is the same however long answers take, up to there.
const pace = 20 * time.Millisecond

// requests are what is measured.
var requests = map[string]func(ctx context.Context, c *kubernetes.Clientset, n int) error{
	"write": func(ctx context.Context, c *kubernetes.Clientset, n int) error {
		o := object("measured", fmt.Sprint(n))
		_, err := c.CoreV1().ConfigMaps("kube-system").Update(ctx, o, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			_, err = c.CoreV1().ConfigMaps("kube-system").Create(ctx, o, metav1.CreateOptions{})
		}
		return err
	},
	"read": func(ctx context.Context, c *kubernetes.Clientset, _ int) error {
		_, err := c.CoreV1().ConfigMaps("kube-system").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err
	},
	"list of 500": func(ctx context.Context, c *kubernetes.Clientset, _ int) error {
		_, err := c.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{Limit: 500, ResourceVersion: ""})
		return err
	},
}

// load takes how long requests take while something is done, and adds it to all.
func (b *bench) load(all map[string][]time.Duration, during func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var mu sync.Mutex
	var clients sync.WaitGroup
	for name, request := range requests {
		client := b.client()
		// The first connection is not the datastore's doing.
		cluster.Must(b.t, request(ctx, client, 0))
		clients.Go(func() {
			took := paced(ctx, client, request)
			mu.Lock()
			defer mu.Unlock()
			all[name] = append(all[name], took...)
		})
	}
	during()
	cancel()
	clients.Wait()
}

func paced(ctx context.Context, client *kubernetes.Clientset, request func(context.Context, *kubernetes.Clientset, int) error) (took []time.Duration) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 1; ; n++ {
		begin := time.Now()
		if err := request(ctx, client, n); err != nil {
			return took
		}
		took = append(took, time.Since(begin))
		select {
		case <-ctx.Done():
			return took
		case <-tick.C:
		}
	}
}

// result is one number of objects.
type result struct {
	Objects int
	// Took is the time of each snapshot; Bytes is the size of the last file,
	// Database that of the database in it.
	Took            []time.Duration
	Bytes, Database int64
	// Quiet and Saving are the times of requests, by kind.
	Quiet, Saving map[string][]time.Duration
	// Restore is the command's time, Back until the API answers, both from a
	// stopped server. Start is the time until the API answers without a restore.
	Restore, Back, Start time.Duration
}

func (r result) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d objects: database %d MB, snapshot %.1f MB in %s (of %s)\n", r.Objects, r.Database>>20, float64(r.Bytes)/(1<<20),
		bed.Percentile(r.Took, 0.5).Round(time.Millisecond), text(r.Took))
	fmt.Fprintf(w, "restore %s, API %s after its begin; a start without it %s\n", r.Restore.Round(time.Millisecond), r.Back.Round(time.Millisecond), r.Start.Round(time.Millisecond))
	for _, name := range []string{"write", "read", "list of 500"} {
		q, s := r.Quiet[name], r.Saving[name]
		if len(q) == 0 || len(s) == 0 {
			continue
		}
		fmt.Fprintf(w, "%-12s %6d/%6d requests", name, len(q), len(s))
		for _, p := range []struct {
			name  string
			share float64
		}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
			a, b := at(q, p.share), at(s, p.share)
			fmt.Fprintf(w, "   %s %.1f -> %.1f ms (x%.2f)", p.name, ms(a), ms(b), float64(b)/float64(a))
		}
		fmt.Fprintln(w)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func at(values []time.Duration, share float64) time.Duration {
	if share == 1 {
		return slices.Max(values)
	}
	return bed.Percentile(values, share)
}

func text(all []time.Duration) string {
	var out []string
	for _, d := range all {
		out = append(out, d.Round(time.Millisecond).String())
	}
	return strings.Join(out, ", ")
}
