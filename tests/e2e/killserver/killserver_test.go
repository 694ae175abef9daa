// Package killserver is the scenario in README.md.
package killserver

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	_ "modernc.org/sqlite" //nolint:depguard // looks at the file with the server stopped
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	kills    = 20
	database = "/var/lib/kedge/server/db"
	last     = "last"
)

func TestAcknowledgedWritesSurviveKills(t *testing.T) {
	c := cluster.New(t, lab.OneServer(), cluster.Options{})
	for _, name := range []string{"one", "two"} {
		c.CreatePod(t, cluster.AppPod(name, ""))
	}
	for _, name := range []string{"one", "two"} {
		c.WaitPods(t, "default", "app="+name, 1)
	}
	containers := c.Containers(t)
	pod := c.WaitPods(t, "default", "app=one", 1)[0]
	instance := "http://" + pod.Status.PodIP + ":8080/instance"
	before := cluster.Get(t, c.Server.Host, instance, "")

	w := startWriter(t, c)
	for i := range kills {
		// At a random point of the writing, so that kills fall into all its phases.
		w.await(t, 1+rand.IntN(20))
		cluster.Must(t, c.Server.Kill())
		started := time.Now()
		cluster.Must(t, c.Server.Start())
		if i%5 == 4 {
			// Otherwise the next kill may come before kubelet has looked at its pods.
			c.WaitAlive(t, c.Server, started, "one")
		}
		t.Logf("kill %d, %d writes acknowledged", i+1, w.count())
	}
	w.await(t, 10)
	w.stop()

	c.WaitAlive(t, c.Server, time.Now(), "one")
	w.verify(t, c)
	c.SameContainers(t, containers)
	if now := cluster.Get(t, c.Server.Host, instance, ""); now != before {
		t.Errorf("the program in pod one was %s, is %s", before, now)
	}
	cluster.Must(t, c.Server.Stop(t.Context()))
	integrity(t, c.Server.Host)
	if _, err := cluster.Fetch(t.Context(), cluster.HTTP(c.Server.Host), http.MethodGet, instance); err != nil {
		t.Errorf("pod one without the server: %v", err)
	}
}

// writer creates config maps w-0, w-1, ... and after each puts its number into the config map
// "last". It remembers what the server acknowledged.
type writer struct {
	client *kubernetes.Clientset
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	created map[string]bool // acknowledged
	last    int             // the number in the last acknowledged update
	acks    int
}

func startWriter(t *testing.T, c *cluster.Cluster) *writer {
	t.Helper()
	config := rest.CopyConfig(c.Config)
	config.Timeout = 5 * time.Second
	client, err := kubernetes.NewForConfig(config)
	cluster.Must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	w := &writer{client: client, cancel: cancel, done: make(chan struct{}), created: map[string]bool{}, last: -1}
	go func() {
		defer close(w.done)
		for n := 0; ctx.Err() == nil; n++ {
			w.write(ctx, n)
		}
	}()
	t.Cleanup(w.stop)
	return w
}

// write makes the n-th pair of writes. What is not acknowledged may or may not be there, and is
// not written again.
func (w *writer) write(ctx context.Context, n int) {
	maps := w.client.CoreV1().ConfigMaps("default")
	name := "w-" + strconv.Itoa(n)
	_, err := maps.Create(ctx, object(name, n), metav1.CreateOptions{})
	w.note(err, func() { w.created[name] = true })
	if err != nil {
		// Trying without a pause would take the processor from the server that starts.
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
		return
	}
	if _, err = maps.Update(ctx, object(last, n), metav1.UpdateOptions{}); apierrors.IsNotFound(err) {
		_, err = maps.Create(ctx, object(last, n), metav1.CreateOptions{})
	}
	w.note(err, func() { w.last = n })
}

func object(name string, n int) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"n": strconv.Itoa(n)}}
}

func (w *writer) note(err error, acknowledged func()) {
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	acknowledged()
	w.acks++
}

func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acks
}

// await waits for n more acknowledged writes.
func (w *writer) await(t *testing.T, n int) {
	t.Helper()
	from := w.count()
	testx.Eventually(t, cluster.Patience, "writes are acknowledged", func(context.Context) error {
		if now := w.count(); now < from+n {
			return fmt.Errorf("%d of %d", now-from, n)
		}
		return nil
	})
}

func (w *writer) stop() {
	w.cancel()
	<-w.done
}

func (w *writer) verify(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	list, err := c.Client.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	cluster.Must(t, err)
	there := map[string]string{}
	for _, m := range list.Items {
		there[m.Name] = m.Data["n"]
	}
	for name := range w.created {
		if "w-"+there[name] != name {
			t.Errorf("config map %s was acknowledged and is now %q", name, there[name])
		}
	}
	// An update that was not acknowledged may have happened after the last one that was.
	if n, err := strconv.Atoi(there[last]); err != nil || n < w.last {
		t.Errorf("the last acknowledged update was %d, the object says %q", w.last, there[last])
	}
	t.Logf("%d objects acknowledged, all there", len(w.created))
}

// integrity checks a copy of the database of the stopped server.
func integrity(t *testing.T, h *lab.Host) {
	t.Helper()
	dir := t.TempDir()
	files, err := os.ReadDir(h.OnDisk(database))
	cluster.Must(t, err)
	for _, f := range files {
		if !f.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(h.OnDisk(database), f.Name()))
		cluster.Must(t, err)
		cluster.Must(t, os.WriteFile(filepath.Join(dir, f.Name()), data, 0o600))
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "state.db"))
	cluster.Must(t, err)
	defer db.Close()
	var verdict string
	cluster.Must(t, db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
	if verdict != "ok" {
		t.Errorf("integrity_check: %s", verdict)
	}
}
