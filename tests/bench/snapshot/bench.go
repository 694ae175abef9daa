package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	_ "modernc.org/sqlite" //nolint:depguard // fills the file of a stopped server

	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// valueSize in bytes is near that of a pod as the API keeps it.
const valueSize = 2000

// bench is the cluster of a run.
type bench struct {
	*cluster.Cluster
	t    *bed.Attempted
	o    options
	have int // objects that were made
}

func up(t *bed.Attempted, o options) *bench {
	// What the packages for tests look at.
	cluster.Must(t, os.Setenv("KEDGE_BINARY", o.kedge))
	cluster.Must(t, os.Setenv("KEDGE_LAB_DIR", o.out))
	b := &bench{t: t, o: o}
	b.Cluster = cluster.New(t, lab.OneServer(), cluster.Options{ServerArgs: []string{"--disable-agent", "--snapshot-schedule", "off"}})
	return b
}

// measure fills the cluster up to n objects, saves it a few times, and restores
// the last snapshot.
func (b *bench) measure(n int) result {
	r := result{Objects: n, Quiet: map[string][]time.Duration{}, Saving: map[string][]time.Duration{}}
	b.fill(n)
	_, err := b.Server.Kedge(b.t.Context(), "datastore", "compact")
	cluster.Must(b.t, err)
	var last saved
	for range b.o.rounds {
		b.load(r.Quiet, func() { wait(b.t.Context(), b.o.quiet) })
		b.load(r.Saving, func() { last = b.save() })
		r.Took = append(r.Took, last.Took)
	}
	r.Bytes, r.Database = last.Entry.Bytes, last.Entry.Manifest.Parts[0].Bytes
	b.restore(last, &r)
	return r
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// client has its own connections and no limit of its own.
func (b *bench) client() *kubernetes.Clientset {
	config := rest.CopyConfig(b.Config)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	cluster.Must(b.t, err)
	return client
}

func object(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": value}}
}

// content is that of an object, of the same length for each. A quarter of it is
// its own, so that it compresses about as well as what the API keeps otherwise.
func content(k int) string {
	own := rand.New(rand.NewPCG(uint64(k), 0)) //nolint:gosec // content, no secret
	var b strings.Builder
	for b.Len() < valueSize {
		fmt.Fprintf(&b, "0123456789abcde%05x", own.Uint32N(1<<20))
	}
	return b.String()
}

// fill makes objects until there are n: one through the API, and copies of its
// row in the database of the stopped server, because the API would take most of
// the time of the run. Accepting the database announces them.
func (b *bench) fill(n int) {
	begin, from := time.Now(), b.have
	if b.have == 0 {
		_, err := b.Client.CoreV1().ConfigMaps("default").Create(b.t.Context(), object(nameOf(0), content(0)), metav1.CreateOptions{})
		cluster.Must(b.t, err)
		b.have = 1
	}
	cluster.Must(b.t, b.Server.Stop(b.t.Context()))
	cluster.Must(b.t, multiply(b.t.Context(), b.Server.Host.OnDisk("/var/lib/kedge/server/db/state.db"), b.have, n))
	b.have = n
	_, err := b.Server.Kedge(b.t.Context(), "datastore", "accept")
	cluster.Must(b.t, err)
	cluster.Must(b.t, b.Server.Start())
	b.Connect(b.t)
	fmt.Fprintf(os.Stderr, "made %d objects in %s\n", n-from, time.Since(begin).Round(time.Second))
}

// nameOf has the same length for each, because lengths are part of a row.
func nameOf(k int) string { return fmt.Sprintf("object-%08d", k) }

// multiply copies the row of the first object as those from..to-1, each with its
// own name and content.
func multiply(ctx context.Context, path string, from, to int) (err error) {
	db, err := sql.Open("sqlite", path+"?_pragma=synchronous(off)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	prefix, first := "/registry/configmaps/default/", []byte(content(0))
	var value []byte
	err = tx.QueryRowContext(ctx, "SELECT value FROM kine WHERE name = ? ORDER BY id DESC LIMIT 1", prefix+nameOf(0)).Scan(&value)
	for k := from; k < to && err == nil; k++ {
		copied := bytes.ReplaceAll(value, []byte(nameOf(0)), []byte(nameOf(k)))
		copied = bytes.ReplaceAll(copied, first, []byte(content(k)))
		_, err = tx.ExecContext(ctx, "INSERT INTO kine(name, created, deleted, create_revision, prev_revision, lease, value) VALUES (?, 1, 0, 0, 0, 0, ?)", prefix+nameOf(k), copied)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// saved is what kedge snapshot save says.
type saved struct {
	Entry struct {
		File     string
		Bytes    int64
		Manifest struct{ Parts []struct{ Bytes int64 } }
	}
	Took time.Duration
}

func (b *bench) save() (s saved) {
	out, err := b.Server.Kedge(b.t.Context(), "snapshot", "save", "-o", "json")
	cluster.Must(b.t, err)
	cluster.Must(b.t, json.Unmarshal([]byte(out), &s))
	return s
}

// restore stops the server, restores, and starts it again. Both times count
// from a stopped server.
func (b *bench) restore(s saved, r *result) {
	cluster.Must(b.t, b.Server.Stop(b.t.Context()))
	begin := time.Now()
	cluster.Must(b.t, b.Server.Start())
	b.Connect(b.t)
	r.Start = time.Since(begin)
	cluster.Must(b.t, b.Server.Stop(b.t.Context()))
	begin = time.Now()
	_, err := b.Server.Kedge(b.t.Context(), "snapshot", "restore", s.Entry.File)
	cluster.Must(b.t, err)
	r.Restore = time.Since(begin)
	cluster.Must(b.t, b.Server.Start())
	b.Connect(b.t)
	r.Back = time.Since(begin)
}
