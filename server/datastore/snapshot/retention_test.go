package snapshot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
)

// scheduledSave is what the schedule does.
func (s *server) scheduledSave(t testing.TB) Saved {
	t.Helper()
	saved, err := s.save(t.Context(), s.cfg.Name, s.cfg.Retention)
	if err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Hour)
	return saved
}

func TestRetentionKeepsTheLatestScheduledOnesAndAllOthers(t *testing.T) {
	s := newServer(t)
	asked := s.mustSave(t, "")
	var made []string
	for range 6 {
		made = append(made, s.scheduledSave(t).Entry.File)
	}
	want := append([]string{asked.File}, made[3:]...)
	if left := s.left(t); !slices.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
	if st := s.State(); st.Kept != 4 || st.Last == nil || st.Last.File != made[5] || st.KeptBytes < 4*asked.Bytes/2 {
		t.Errorf("state %+v", st)
	}
}

func TestRetentionTouchesNothingButWholeSnapshotsOfThisServer(t *testing.T) {
	s := newServer(t)
	s.mustSave(t, "")
	// Another cluster and another server with the same folder, and rubbish.
	foreign := newServer(t, func(c *Config) { c.Dir = s.cfg.Dir })
	neighbour := newServer(t, func(c *Config) { c.Dir, c.Token, c.Node = s.cfg.Dir, s.cfg.Token, "server-2" })
	var keep []string
	for range 5 {
		keep = append(keep, foreign.scheduledSave(t).Entry.File)
		foreign.now = foreign.now.Add(time.Minute)
	}
	keep = append(keep[2:], neighbour.scheduledSave(t).Entry.File)
	rubbish := []string{"scheduled-server-1-20200101T000000Z.tar.zst", "notes.txt", "x.tar.zst", "folder.tar.zst/file", ".hidden.tar.zst"}
	for _, name := range rubbish {
		if err := fsx.WriteFile(filepath.Join(s.cfg.Dir, name), []byte("rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/nowhere", filepath.Join(s.cfg.Dir, "link.tar.zst")); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(30 * time.Second) // names that differ from the foreign ones
	for range 5 {
		s.scheduledSave(t)
	}
	left := s.left(t)
	for _, name := range append(keep, "scheduled-server-1-20200101T000000Z.tar.zst", "notes.txt", "x.tar.zst", "folder.tar.zst", ".hidden.tar.zst", "link.tar.zst") {
		if !slices.Contains(left, name) {
			t.Errorf("%s is gone", name)
		}
	}
	token, err := ReadToken(s.cfg.Token)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := List(s.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	own, extra := surplus(entries, token.ID(), "server-1", DefaultName, 3)
	if len(own) != 3 || len(extra) != 0 {
		t.Errorf("own %d, too many %d", len(own), len(extra))
	}
	for _, e := range entries {
		if e.Good() == (e.Problem != "") {
			t.Errorf("entry %+v", e)
		}
	}
}

func TestAClockThatWasSetBackDoesNotMakeTheNewestTheOldest(t *testing.T) {
	s := newServer(t)
	for range 3 {
		s.scheduledSave(t)
	}
	s.now = time.Unix(1000, 0)
	newest := s.scheduledSave(t).Entry
	entries, err := List(s.cfg.Dir)
	if err != nil || len(entries) != 3 || entries[0].File != newest.File {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestPruneReadsOneThatStaysBeforeItDeletes(t *testing.T) {
	s := newServer(t)
	var files []Entry
	for range 3 {
		files = append(files, s.scheduledSave(t).Entry)
	}
	// Bits changed in the middle: length, end and manifest are as they were.
	for _, e := range files[1:] {
		raw, err := os.ReadFile(e.Location)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/2] ^= 1
		if err := os.WriteFile(e.Location, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	deleted, err := s.Prune(t.Context(), "", 1)
	if err != nil || len(deleted) > 0 {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	if left := s.left(t); len(left) != 3 {
		t.Errorf("left %v", left)
	}
	if _, err := s.Prune(t.Context(), "", -1); err == nil {
		t.Error("keep -1 was taken")
	}
}

// bucket is a remote that can be out of order.
type bucket struct {
	fault
	dir string
}

func (b *bucket) Upload(_ context.Context, path string) error {
	if err := b.get(); err != nil {
		return err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return fsx.WriteFile(filepath.Join(b.dir, filepath.Base(path)), raw, 0o600)
}

func (b *bucket) List(_ context.Context, prefix string) ([]Entry, error) {
	if err := b.get(); err != nil {
		return nil, err
	}
	all, err := List(b.dir)
	return slices.DeleteFunc(all, func(e Entry) bool { return !strings.HasPrefix(e.File, prefix) }), err
}

func (b *bucket) Delete(_ context.Context, file string) error {
	return os.Remove(filepath.Join(b.dir, file))
}

func TestRemoteTroubleCostsNoLocalSnapshot(t *testing.T) {
	away := &bucket{dir: t.TempDir()}
	s := newServer(t, func(c *Config) { c.Remote = away })
	for range 5 {
		s.scheduledSave(t)
	}
	if there, err := List(away.dir); err != nil || len(there) != 3 {
		t.Errorf("away %v, %v", there, err)
	}
	away.set(errors.New("bucket is gone"))
	saved := s.scheduledSave(t)
	if saved.RemoteError != "bucket is gone" || len(s.left(t)) != 3 || !slices.Contains(s.left(t), saved.Entry.File) {
		t.Errorf("%+v, %v", saved, s.left(t))
	}
	l, err := s.Manager.List(t.Context())
	if err != nil || len(l.Entries) != 3 || l.RemoteError == "" {
		t.Errorf("%+v, %v", l, err)
	}
	if c := s.Condition(); c.Status != "warning" {
		t.Errorf("condition %+v", c)
	}
	if _, err := s.Delete(t.Context(), saved.Entry.File); !errors.Is(err, away.get()) {
		t.Errorf("delete: %v", err)
	}
	away.set(nil)
	if there, err := List(away.dir); err != nil || len(there) != 3 {
		t.Errorf("away %v, %v", there, err)
	}
	only := s.left(t)[0] // also away
	deleted, err := s.Delete(t.Context(), only)
	if err != nil || len(deleted) != 2 {
		t.Errorf("deleted %v, %v", deleted, err)
	}
}

func TestConditionSaysHowOldTheLastOneIs(t *testing.T) {
	every, err := ParseSchedule("6h")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(c *Config) { c.Schedule = every })
	if c := s.Condition(); c.Status != "ok" || c.Name != "snapshots" {
		t.Errorf("none yet: %+v", c)
	}
	s.mustSave(t, "")
	s.now = s.now.Add(5 * time.Hour)
	if c := s.Condition(); c.Status != "ok" {
		t.Errorf("after 5 h: %+v", c)
	}
	s.now = s.now.Add(8 * time.Hour)
	if c := s.Condition(); c.Status != "warning" {
		t.Errorf("after 13 h: %+v", c)
	}
	s.db.set(errors.New("disk on fire"))
	_, _ = s.Save(t.Context(), "")
	if c := s.Condition(); c.Status != "warning" {
		t.Errorf("after a failure: %+v", c)
	}
}

func TestLastGoodIsTheLatestStateOfTheCluster(t *testing.T) {
	m := func(recovery string, revision int64) Entry {
		return Entry{File: recovery, Manifest: &Manifest{Recovery: recovery, Facts: Facts{Revision: revision}}}
	}
	entries := []Entry{m("a", 5), {File: "bad", Problem: "cut"}, m("b", 9), m("a", 7)}
	Sort(entries)
	if e, ok := LastGood(entries, "a"); !ok || e.Manifest.Revision != 7 {
		t.Errorf("of a: %+v", e)
	}
	if e, ok := LastGood(entries, ""); !ok || e.Manifest.Revision != 9 {
		t.Errorf("of any: %+v", e)
	}
	if _, ok := LastGood(entries, "c"); ok {
		t.Error("of c there is none")
	}
}

// stuck takes an upload and does not end it before its context ends.
type stuck struct {
	bucket
	begun chan struct{}
}

func (b *stuck) Upload(ctx context.Context, _ string) error {
	close(b.begun)
	<-ctx.Done()
	return ctx.Err()
}

func TestUploadThatTakesLongKeepsNobodyFromSaving(t *testing.T) {
	away := &stuck{begun: make(chan struct{})}
	s := newServer(t, func(c *Config) { c.Remote = away })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan Saved)
	go func() {
		saved, _ := s.Save(ctx, "")
		done <- saved
	}()
	<-away.begun
	local := s.cfg
	local.Remote = nil
	if _, err := New(local).Save(t.Context(), ""); err != nil {
		t.Error(err)
	}
	cancel()
	if saved := <-done; saved.RemoteError == "" || !saved.Entry.Good() {
		t.Errorf("%+v", saved)
	}
	if left := s.left(t); len(left) != 2 {
		t.Errorf("left %v", left)
	}
}
