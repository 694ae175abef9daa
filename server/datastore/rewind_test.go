package datastore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// restoredCopy is a database as it was in the middle of its life, begun again.
func restoredCopy(t *testing.T) (cfg Config, c *clientv3.Client, snapshotAt, lost, base int64) {
	t.Helper()
	old := testConfig(t)
	first := start(t, old)
	oc := client(t, first.Endpoints()[0])
	put(t, oc, "/registry/a", "1")
	put(t, oc, "/registry/a", "2")
	if _, err := oc.Delete(t.Context(), "/registry/none"); err == nil {
		t.Log("deleted a key that is not there")
	}
	snapshotAt = put(t, oc, "/registry/b", "1")
	cfg = testConfig(t)
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), old.Path, cfg.Path); err != nil {
		t.Fatal(err)
	}
	// What the copy does not know of, and clients have seen.
	for i := range 20 {
		lost = put(t, oc, "/registry/b", fmt.Sprint("lost ", i))
	}
	put(t, oc, "/registry/c", "lost")
	first.stop(t)
	base = NewBase(time.Now(), Known(t.Context(), old.Path, old.VolatileDir)...)
	if err := Rewind(t.Context(), cfg.Path, base, "snapshot-1"); err != nil {
		t.Fatal(err)
	}
	if got := Restored(cfg.Path); got != "snapshot-1" {
		t.Errorf("the restored database says it is %q", got)
	}
	r := start(t, cfg)
	t.Cleanup(func() { r.stop(t) })
	if Restored(cfg.Path) != "" {
		t.Error("a database in use still counts as just restored")
	}
	return cfg, client(t, r.Endpoints()[0]), snapshotAt, lost, base
}

func TestRestoredDatabaseTellsAllOldWatchersToListAgain(t *testing.T) {
	_, c, snapshotAt, lost, base := restoredCopy(t)
	for _, rev := range []int64{1, snapshotAt, snapshotAt + 1, lost, base - 1, base} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		resp := <-c.Watch(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithRev(rev))
		cancel()
		if resp.CompactRevision != base || resp.Err() != rpctypes.ErrCompacted {
			t.Errorf("watch from %d: %+v, %v, want it compacted at %d", rev, resp, resp.Err(), base)
		}
		if rev < base {
			if _, err := c.Get(t.Context(), "/registry/a", clientv3.WithRev(rev)); err != rpctypes.ErrCompacted {
				t.Errorf("read at %d: %v", rev, err)
			}
		}
	}
}

func TestWhoListsARestoredDatabaseWatchesOnWithoutAGap(t *testing.T) {
	_, c, _, lost, base := restoredCopy(t)
	list, err := c.Get(t.Context(), "/registry/", clientv3.WithPrefix())
	if err != nil || len(list.Kvs) < 2 || list.Header.Revision < base {
		t.Fatalf("%+v, %v", list, err)
	}
	values := map[string]string{}
	for _, kv := range list.Kvs {
		values[string(kv.Key)] = string(kv.Value)
	}
	if values["/registry/a"] != "2" || values["/registry/b"] != "1" || values["/registry/c"] != "" {
		t.Errorf("restored %v", values)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	events := c.Watch(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithRev(list.Header.Revision+1))
	rev := put(t, c, "/registry/c", "new")
	if rev <= lost || rev <= base {
		t.Errorf("revision %d was given out, %d was lost", rev, lost)
	}
	if resp := <-events; len(resp.Events) != 1 || string(resp.Events[0].Kv.Value) != "new" {
		t.Errorf("the first event is %+v", resp)
	}
	// A key whose history went can be changed and deleted.
	put(t, c, "/registry/a", "3")
	if got := get(t, c, "/registry/a"); got != "3" {
		t.Errorf("a is %q", got)
	}
}

func TestHistoriesNeverShareRevisions(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	first := NewBase(at, 5000)
	// The same snapshot, restored again on another host a second later.
	if second := NewBase(at.Add(time.Second), 5000); second-first < 100_000 {
		t.Errorf("%d after %d", second, first)
	}
	if behind := NewBase(time.Unix(0, 0), first+77); behind <= first+77 {
		t.Errorf("with a clock in 1970: %d after %d", behind, first+77)
	}
	if first >= 1<<53 {
		t.Errorf("%d is no whole number for every client", first)
	}
}

func TestRestoredDatabaseIsCompactedFurther(t *testing.T) {
	cfg, c, _, _, base := restoredCopy(t)
	_ = cfg
	for i := range 1800 {
		put(t, c, "/registry/a", fmt.Sprint(i))
	}
	resp, err := c.Compact(t.Context(), base+700)
	if err != nil {
		t.Fatal(resp, err)
	}
}

func TestVolatileDatabaseBeginsAboveARestoredOne(t *testing.T) {
	cfg, _, _, _, base := restoredCopy(t)
	c := client(t, "unix://"+filepath.Join(cfg.SocketDir, "kine-volatile.sock"))
	if rev := put(t, c, "/registry/leases/x", "1"); rev <= base {
		t.Errorf("volatile revision %d, durable begins at %d", rev, base)
	}
}
