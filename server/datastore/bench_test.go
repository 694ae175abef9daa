package datastore

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"
)

// The benchmarks go through the etcd API, as the apiserver does. Values have
// the size of a small pod. scripts/bench-sqlite runs them with both drivers.
const benchValue = 2000

// latencies collects durations and reports p50 and p99 in milliseconds.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
	cpu time.Duration // processor time at the start
}

func (l *latencies) time(f func()) {
	begin := time.Now()
	f()
	took := time.Since(begin)
	l.mu.Lock()
	l.all = append(l.all, took)
	l.mu.Unlock()
}

func (l *latencies) report(b *testing.B) {
	slices.Sort(l.all)
	for _, p := range []int{50, 99} {
		v := l.all[min(len(l.all)-1, len(l.all)*p/100)]
		b.ReportMetric(float64(v.Microseconds())/1000, "p"+strconv.Itoa(p)+"-ms")
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "obj/s")
	// Processor time does not depend on what else the machine does.
	b.ReportMetric(float64((processorTime()-l.cpu).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// processorTime is what this process has used so far, client and server.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchStore(b *testing.B, d Durability) *clientv3.Client {
	b.Helper()
	cfg := testConfig(b)
	cfg.Durability, cfg.VolatileDir = d, ""
	r := start(b, cfg)
	b.Cleanup(func() { r.stop(b) })
	c := client(b, r.Endpoints()[0])
	b.Cleanup(func() { reportMemory(b) })
	return c
}

// reportMemory adds the resident memory of the test process, server included.
func reportMemory(b *testing.B) {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(raw))[1], 10, 64)
	b.ReportMetric(float64(pages*int64(os.Getpagesize()))/(1<<20), "rss-MB")
}

// create is the transaction with which the apiserver makes an object.
func create(b *testing.B, c *clientv3.Client, key, value string) int64 {
	resp, err := c.Txn(context.Background()).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, value)).Commit()
	if err != nil || !resp.Succeeded {
		b.Fatalf("create %s: %v %v", key, resp, err)
	}
	return resp.Header.Revision
}

// update is the transaction with which the apiserver changes one.
func update(b *testing.B, c *clientv3.Client, key, value string, rev int64) int64 {
	resp, err := c.Txn(context.Background()).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).
		Then(clientv3.OpPut(key, value)).Else(clientv3.OpGet(key)).Commit()
	if err != nil || !resp.Succeeded {
		b.Fatalf("update %s: %v %v", key, resp, err)
	}
	return resp.Header.Revision
}

func BenchmarkCreateUpdate(b *testing.B) {
	value := strings.Repeat("x", benchValue)
	for _, d := range []Durability{DurabilityFull, DurabilityNormal} {
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/writers=%d", d, writers), func(b *testing.B) {
				c := benchStore(b, d)
				var n atomic.Int64
				lat := latencies{cpu: processorTime()}
				var wg sync.WaitGroup
				b.ResetTimer()
				for range writers {
					wg.Go(func() {
						for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
							key := fmt.Sprintf("/registry/pods/default/p%d", i)
							lat.time(func() { update(b, c, key, value, create(b, c, key, value)) })
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				lat.report(b)
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	c := benchStore(b, DurabilityFull)
	for i := range 1000 {
		create(b, c, fmt.Sprintf("/registry/pods/default/p%d", i), strings.Repeat("x", benchValue))
	}
	lat := latencies{cpu: processorTime()}
	i := 0
	for b.Loop() {
		i++
		lat.time(func() {
			if _, err := c.Get(context.Background(), fmt.Sprintf("/registry/pods/default/p%d", i%1000)); err != nil {
				b.Fatal(err)
			}
		})
	}
	lat.report(b)
}

func BenchmarkList1000(b *testing.B) {
	c := benchStore(b, DurabilityFull)
	for i := range 1000 {
		create(b, c, fmt.Sprintf("/registry/pods/default/p%d", i), strings.Repeat("x", benchValue))
	}
	lat := latencies{cpu: processorTime()}
	for b.Loop() {
		lat.time(func() {
			r, err := c.Get(context.Background(), "/registry/pods/", clientv3.WithPrefix())
			if err != nil || len(r.Kvs) != 1000 {
				b.Fatal(err)
			}
		})
	}
	lat.report(b)
}

// BenchmarkWatch measures from the answer of a write to its event.
func BenchmarkWatch(b *testing.B) {
	c := benchStore(b, DurabilityFull)
	events := c.Watch(b.Context(), "/registry/pods/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-events
	lat := latencies{cpu: processorTime()}
	i := 0
	for b.Loop() {
		i++
		key := fmt.Sprintf("/registry/pods/default/p%d", i)
		create(b, c, key, strings.Repeat("x", benchValue))
		lat.time(func() {
			for resp := range events {
				for _, e := range resp.Events {
					if string(e.Kv.Key) == key {
						return
					}
				}
			}
		})
	}
	lat.report(b)
}

// BenchmarkLeaseRenewal measures what one renewal of a node lease writes: to
// the log at once, and in all after the checkpoint. pageSize is in bytes.
func BenchmarkLeaseRenewal(b *testing.B) {
	for _, pageSize := range []int{512, 1024, 2048, 4096, 8192} {
		b.Run(fmt.Sprintf("page=%d", pageSize), func(b *testing.B) { benchLease(b, pageSize) })
	}
	b.Run("volatile", benchVolatileLease)
}

// benchVolatileLease counts what reaches disks while a whole store renews a
// lease in its volatile database.
func benchVolatileLease(b *testing.B) {
	if !inMemory("/dev/shm") {
		b.Skip("/dev/shm is not a memory file system")
	}
	dir, err := os.MkdirTemp("/dev/shm", "kedge-bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := testConfig(b)
	cfg.VolatileDir = dir
	r := start(b, cfg)
	defer r.stop(b)
	c := client(b, "unix://"+r.volatileSocket())
	key, value := "/registry/leases/kube-node-lease/node-1", strings.Repeat("l", 400)
	rev := create(b, c, key, value)
	before := written(b)
	b.ResetTimer()
	for range b.N {
		rev = update(b, c, key, value, rev)
	}
	b.StopTimer()
	b.ReportMetric(float64(written(b)-before)/float64(b.N)/1000, "disk-kB/op")
}

func benchLease(b *testing.B, pageSize int) {
	cfg := testConfig(b)
	s, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	i, _ := s.instances()
	i.tune.pageSize = pageSize
	if err := prepareDir(cfg.SocketDir); err != nil {
		b.Fatal(err)
	}
	if err := os.MkdirAll(strings.TrimSuffix(i.path, "/state.db"), 0o700); err != nil {
		b.Fatal(err)
	}
	if err := createSQLite(b.Context(), i.path, pageSize); err != nil {
		b.Fatal(err)
	}
	if err := i.open(b.Context(), 0); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = i.close() }()
	c := client(b, i.url())
	// A cluster's worth of other objects, so that the indexes have a depth.
	for n := range 2000 {
		create(b, c, fmt.Sprintf("/registry/pods/default/p%d", n), strings.Repeat("x", benchValue))
	}
	if _, err := i.checkpoint(b.Context(), "TRUNCATE"); err != nil {
		b.Fatal(err)
	}
	key, value := "/registry/leases/kube-node-lease/node-1", strings.Repeat("l", 400)
	rev := create(b, c, key, value)
	frames := int64(0)
	before := written(b)
	b.ResetTimer()
	for range b.N {
		rev = update(b, c, key, value, rev)
	}
	b.StopTimer()
	w, err := i.checkpoint(b.Context(), "NOOP")
	if err != nil {
		b.Fatal(err)
	}
	frames = w.frames
	b.ReportMetric(float64(frames)/float64(b.N+1), "frames/op")
	b.ReportMetric(float64(frames)*float64(pageSize+walFrameHeader)/float64(b.N+1)/1000, "log-kB/op")
	if _, err := i.checkpoint(b.Context(), "TRUNCATE"); err != nil {
		b.Fatal(err)
	}
	if total := written(b) - before; total > 0 {
		b.ReportMetric(float64(total)/float64(b.N)/1000, "disk-kB/op")
	}
}

// written is what this process caused to be written to disks, in bytes; zero
// where the kernel does not count it.
func written(b *testing.B) int64 {
	raw, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// BenchmarkIdleLook is what looking after two unused databases writes to disk.
func BenchmarkIdleLook(b *testing.B) {
	r := start(b, testConfig(b))
	defer r.stop(b)
	if _, err := r.running[0].checkpoint(b.Context(), "PASSIVE"); err != nil {
		b.Fatal(err)
	}
	before := written(b)
	for b.Loop() {
		for _, i := range r.running {
			if _, err := i.look(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(written(b)-before)/float64(b.N), "disk-B/op")
}
