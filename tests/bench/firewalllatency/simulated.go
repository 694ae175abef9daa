package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// arrival bounds the coming of a crowd.
const arrival = 3 * time.Minute

// simulated measures changes of a rule by what simulated kernels get.
func (b *bench) simulated() {
	authority, err := b.authority()
	cluster.Must(b.t, err)
	for n := range b.o.nodes {
		_, _, err := authority.Node(nodeName(n))
		cluster.Must(b.t, err)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName(n), Labels: map[string]string{label: "sim"}}}
		node.Spec.Unschedulable = true
		if _, err := b.Client.CoreV1().Nodes().Create(b.t.Context(), node, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
			cluster.Must(b.t, err)
		}
	}
	b.crowded("simulated", authority.Dir)
}

// watch measures the baseline.
func (b *bench) watch() {
	authority, err := b.authority()
	cluster.Must(b.t, err)
	ca, err := pki.EnsureCA(authority.ClientCA(), filepath.Join(authority.Dir, "client-ca.key"), "client-ca", time.Now())
	cluster.Must(b.t, err)
	_, _, err = pki.EnsureLeaf(filepath.Join(authority.Dir, "watcher.crt"), filepath.Join(authority.Dir, "watcher.key"), ca,
		pki.Names{CommonName: "bench", Organizations: []string{"system:masters"}, Client: true}, time.Now())
	cluster.Must(b.t, err)
	b.crowded("watch", authority.Dir, "-watch")
}

// crowded runs a crowd and changes a firewall that it looks at.
func (b *bench) crowded(part, dir string, more ...string) {
	// What nodes keep is in memory: 500 of them do not share a disk elsewhere.
	state, err := os.MkdirTemp("/dev/shm", "kedge-bench-")
	cluster.Must(b.t, err)
	defer func() { _ = os.RemoveAll(state) }()
	ctx, cancel := context.WithCancel(b.t.Context())
	seen, ended := newSightings(), make(chan struct{})
	defer func() {
		cancel()
		<-ended
	}()
	argv := append([]string{b.self, "crowd", "-dir", dir, "-state", state, "-server", b.URL(),
		"-count", fmt.Sprint(b.o.nodes), "-kernel", b.o.kernel.String()}, more...)
	r, w := io.Pipe()
	go seen.read(r)
	go func() {
		defer close(ended)
		if err := b.Lab.Host("crowd").RunPiped(ctx, nil, w, argv...); ctx.Err() == nil {
			b.t.Error(errors.Join(err, errors.New("the crowd ended")))
		}
		_ = w.Close()
	}()
	b.gather(seen)
	b.wait(10 * time.Second) // conditions, annotations and ranges are written
	if b.o.profile {
		go b.keepProfile(part)
	}
	for step := range b.o.steps {
		b.rest()
		b.number++
		began, kubectl := b.change(step, "EdgeFirewall", "sim", firewall("sim", mark(b.number), verb(step%2 == 1), ""))
		b.await(part, func() int { return b.o.nodes - len(seen.of(mark(b.number))) })
		b.note(part, kubectl, began, seen.of(mark(b.number)))
	}
	used, err := bed.CPU(b.Server.Proc().PID())
	if err == nil {
		b.t.Logf("the server's processor time until here: %v", used.Round(time.Millisecond))
	}
}

// gather waits until all are there.
func (b *bench) gather(seen *sightings) {
	began := time.Now()
	for seen.readies() < b.o.nodes {
		if time.Since(began) > arrival {
			b.t.Fatalf("%d of %d are there after %v", seen.readies(), b.o.nodes, arrival)
		}
		b.wait(100 * time.Millisecond)
	}
	b.t.Logf("%d are there after %v", b.o.nodes, time.Since(began).Round(100*time.Millisecond))
}

// keepProfile writes where the server's time goes while a part is measured.
func (b *bench) keepProfile(part string) {
	seconds := min(2*b.o.steps, 30)
	socket := b.Server.Host.Path(paths.New("").StatusSocket())
	err := health.Ask(b.t.Context(), socket, http.MethodGet, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), func(body io.Reader) error {
		f, err := os.Create(filepath.Join(b.o.out, part+"-cpu"))
		if err != nil {
			return err
		}
		_, err = io.Copy(f, body)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		b.t.Logf("no profile of part %s: %v", part, err)
	}
}
