package datastore

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestCompactReturnsSpaceWhileOthersWrite(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg)
	c := client(t, r.Endpoints()[0])
	for i := range 1500 {
		put(t, c, "/registry/a", strings.Repeat(fmt.Sprint(i), 500))
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.Put(t.Context(), "/registry/b", "meanwhile")
		done <- err
	}()
	got, err := r.Compact(t.Context(), false)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	d := got[0]
	if d.After.CompactRevision <= d.Before.CompactRevision || d.After.LogBytes != 0 && d.After.PendingBytes > d.Before.PendingBytes {
		t.Errorf("before %+v, after %+v", d.Before, d.After)
	}
	if get(t, c, "/registry/b") != "meanwhile" {
		t.Error("a write was lost")
	}
	if _, err := r.CheckRunning(t.Context()); err != nil {
		t.Error(err)
	}
	r.stop(t)
	if _, err := Check(t.Context(), cfg.Path, cfg.VolatileDir, true); err != nil {
		t.Error(err)
	}
}

func TestOfflineCompactionRewritesTheFile(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg)
	c := client(t, r.Endpoints()[0])
	for i := range 1500 {
		put(t, c, "/registry/a", strings.Repeat(fmt.Sprint(i), 500))
	}
	r.stop(t)
	var got []Compaction
	err := Offline(t.Context(), cfg, func(ctx context.Context, s *Store) (err error) {
		got, err = s.Compact(ctx, true)
		return err
	})
	if err != nil || got[0].After.Bytes >= got[0].Before.Bytes {
		t.Fatalf("%+v, %v", got, err)
	}
	st, err := StatFile(t.Context(), cfg.Path)
	if err != nil || st.FreeBytes != 0 || st.Revision < 1500 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := Check(t.Context(), cfg.Path, cfg.VolatileDir, true); err != nil {
		t.Error(err)
	}
}
