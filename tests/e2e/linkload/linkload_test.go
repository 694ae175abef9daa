// Package linkload is the scenario in README.md.
package linkload

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	rate  = 10_000_000             // bits per second of the uplink
	queue = 200 * time.Millisecond // of the provider's modem
	delay = 20 * time.Millisecond  // one way
	// copies of each kind fill the uplink.
	copies = 4
	// echoes are measured idle; loaded it is as many as the time allows.
	echoes = 100
	pause  = 50 * time.Millisecond
	// late is a lease that was renewed too late: kubelet renews every 10 s.
	late = 20 * time.Second
)

func TestHeartbeatsAndEchoesPassBulk(t *testing.T) {
	topology := lab.ServerAndEdges(1)
	topology.Sites[1].Delay = delay
	c := cluster.New(t, topology, cluster.Options{})
	edge := c.Agents[0]
	c.CreatePod(t, cluster.AppPod("web", edge.Name()))
	c.CreatePod(t, cluster.AppPod("sink", c.Server.Name()))
	web := c.WaitPods(t, "default", "app=web", 1)[0]
	sink := c.WaitPods(t, "default", "app=sink", 1)[0]
	cluster.Must(t, c.Lab.Site("site1").Uplink.Slow(rate, queue))

	idle := talk(t, c, echoes, nil)
	lease := c.WatchLease(t, edge.Name())
	load := startLoad(t, c, &web, sink.Status.PodIP)
	load.awaitFull(t)
	loaded := talk(t, c, 1<<30, after(duration(t)))
	moved := load.stop()
	if load.failed != nil {
		t.Errorf("copies failed: %v", load.failed)
	}
	worst, err := lease.Stop()
	cluster.Must(t, err)
	report(t, c, idle, loaded, worst, moved)
	c.WaitNode(t, edge.Name(), corev1.ConditionTrue)
	if size := os.Getenv("KEDGE_CP"); size != "" {
		cluster.Must(t, c.Lab.Site("site1").Uplink.Heal())
		cp(t, c, size)
	}
}

// duration is how long the load lasts: two renewals of the lease at least.
func duration(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(cmp.Or(os.Getenv("KEDGE_LOAD"), "25s"))
	cluster.Must(t, err)
	return d
}

func after(d time.Duration) <-chan time.Time { return time.After(d) }

// talk has an echo in the pod answer n lines or until the time is over, and returns how long each
// took, sorted.
func talk(t *testing.T, c *cluster.Cluster, n int, over <-chan time.Time) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hear, say := newDialogue(ctx, c)
	defer say.Close()
	var took []time.Duration
	for i := range n {
		select {
		case <-over:
			return sorted(took)
		case <-time.After(pause):
		}
		word := fmt.Sprintf("%d %s", i, strings.Repeat("x", 90))
		begin := time.Now()
		if _, err := fmt.Fprintln(say, word); err != nil {
			t.Fatalf("say line %d: %v", i, err)
		}
		select {
		case answer, ok := <-hear:
			if !ok || answer != "echo: "+word {
				t.Fatalf("line %d is answered with %q", i, answer)
			}
		case <-time.After(cluster.Patience):
			t.Fatalf("line %d is not answered", i)
		}
		if i > 0 { // the first one waits for the start of the program
			took = append(took, time.Since(begin))
		}
	}
	return sorted(took)
}

// newDialogue runs the echo in the pod. The channel is closed when it has ended.
func newDialogue(ctx context.Context, c *cluster.Cluster) (<-chan string, io.WriteCloser) {
	in, say := io.Pipe()
	answers, out := io.Pipe()
	hear := make(chan string, 1)
	go func() {
		err := c.Server.Host.RunPiped(ctx, in, out, "kedge", "kubectl", "exec", "-i", "web", "--", "echo")
		_ = out.CloseWithError(cmp.Or(err, io.EOF))
		_ = in.CloseWithError(cmp.Or(err, io.EOF))
	}()
	go func() {
		defer close(hear)
		for lines := bufio.NewScanner(answers); lines.Scan(); {
			hear <- lines.Text()
		}
	}()
	return hear, say
}

func sorted(d []time.Duration) []time.Duration {
	slices.Sort(d)
	return d
}

// load is what fills the uplink.
type load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	uplink func() (int64, error)
	begin  time.Time
	from   int64

	mu     sync.Mutex
	copied int64 // bytes that were complete, from pod to pod
	failed error
}

// Sizes of what is copied in one piece. A file is so large that no copy of it ends while the load
// lasts: at the end of an exec over a thin link containerd drops what kubelet has not read yet as
// soon as kubelet's next ping arrives (docs/operations/troubleshooting.md), which is why kubectl cp
// has --retries.
const (
	fileSize = 1 << 30
	podSize  = 2 << 20
)

func startLoad(t *testing.T, c *cluster.Cluster, web *corev1.Pod, sink string) *load {
	t.Helper()
	c.Kubectl(t, "exec", "web", "--", "fill", "/data/bulk", fmt.Sprint(fileSize))
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel, begin: time.Now(), uplink: func() (int64, error) { return sent(t.Context(), c) }}
	t.Cleanup(func() { cancel(); l.wg.Wait() })
	var err error
	l.from, err = l.uplink()
	cluster.Must(t, err)
	for i := range copies {
		l.repeat(ctx, fileSize, func() error {
			_, err := c.TryKubectl(ctx, "cp", "web:/data/bulk", fmt.Sprint("/var/lib/bulk-", i))
			return err
		})
		l.repeat(ctx, podSize, func() error {
			results, err := c.Checks(ctx, web, []cluster.Check{{Kind: "put", To: sink + ":8080", Bytes: podSize, Seconds: 120}})
			if err == nil && !results[0].Worked {
				err = errors.New(results[0].Error)
			}
			return err
		})
	}
	return l
}

// repeat copies until the load is over.
func (l *load) repeat(ctx context.Context, size int64, copyOnce func() error) {
	l.wg.Go(func() {
		for ctx.Err() == nil {
			err := copyOnce()
			if ctx.Err() == nil {
				l.fail(err)
			}
			if err != nil {
				return
			}
			l.mu.Lock()
			l.copied += size
			l.mu.Unlock()
		}
	})
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = errors.Join(l.failed, err)
}

// sent is how many bytes the edge has sent.
func sent(ctx context.Context, c *cluster.Cluster) (int64, error) {
	out, _, err := c.Agents[0].Host.Run(ctx, "cat", "/sys/class/net/eth0/statistics/tx_bytes")
	if err != nil {
		return 0, err
	}
	var n int64
	_, err = fmt.Sscan(out, &n)
	return n, err
}

// awaitFull waits until several seconds' worth of the uplink were sent, so that all queues are full.
func (l *load) awaitFull(t *testing.T) {
	t.Helper()
	const enough = 4 * rate / 8
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		n, err := l.uplink()
		cluster.Must(t, err)
		if n-l.from > enough {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the load does not fill the uplink: %d bytes: %v", n-l.from, l.failed)
		}
	}
}

// stop ends the load and says what it moved.
func (l *load) stop() string {
	n, err := l.uplink()
	l.fail(err)
	took := time.Since(l.begin)
	l.cancel()
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%.1f Mbit/s on the uplink for %s (%d MiB of it complete between pods)",
		float64(n-l.from)*8/1e6/took.Seconds(), took.Round(time.Second), l.copied>>20)
}

func report(t *testing.T, c *cluster.Cluster, idle, loaded []time.Duration, worst time.Duration, moved string) {
	t.Helper()
	if len(idle) == 0 || len(loaded) == 0 {
		t.Fatalf("%d echoes idle, %d loaded", len(idle), len(loaded))
	}
	if worst > late {
		t.Errorf("the lease was not renewed for %s", worst)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Load: %s. Longest time without a renewal of the lease: %s.\n\n", moved, worst.Round(time.Millisecond))
	b.WriteString("| echo over exec | number | p50 | p99 | worst |\n|---|---|---|---|---|\n")
	for _, r := range []struct {
		name string
		took []time.Duration
	}{{"idle", idle}, {"loaded", loaded}} {
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s |\n", r.name, len(r.took), ms(at(r.took, 50)), ms(at(r.took, 99)), ms(at(r.took, 100)))
	}
	fmt.Fprintf(&b, "| ratio | | %.1f | %.1f | %.1f |\n", over(loaded, idle, 50), over(loaded, idle, 99), over(loaded, idle, 100))
	t.Log("\n" + b.String())
	cluster.Must(t, os.WriteFile(filepath.Join(c.Lab.Out(), "load.md"), []byte(b.String()), 0o644))
}

func at(d []time.Duration, percent int) time.Duration { return d[(len(d)-1)*percent/100] }

func over(a, b []time.Duration, percent int) float64 {
	return float64(at(a, percent)) / float64(at(b, percent))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }
