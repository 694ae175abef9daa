package snapshot

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/wire"
)

// fault is trouble that comes and goes.
type fault struct {
	mu  sync.Mutex
	err error
}

func (f *fault) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fault) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// database stands for one: it says of itself what revision it has.
type database struct {
	fault
	content  []byte
	revision int64
	during   func()
}

func (d *database) copy(_ context.Context, _, target string) (Facts, error) {
	if d.during != nil {
		d.during()
	}
	if err := d.get(); err != nil {
		_ = os.WriteFile(target, d.content[:len(d.content)/2], 0o600)
		return Facts{}, err
	}
	d.revision++
	return Facts{Revision: d.revision, Objects: map[string]int{"pods": 3, "secrets": 4}}, os.WriteFile(target, d.content, 0o600)
}

// pages are content as a database has it: some alike, some not.
func pages(t testing.TB, n int) []byte {
	t.Helper()
	out := make([]byte, 0, n*4096)
	for range n {
		page := make([]byte, 4096)
		if _, err := rand.Read(page[:600]); err != nil {
			t.Fatal(err)
		}
		out = append(out, page...)
	}
	return out
}

// server is a data directory with a manager for it.
type server struct {
	*Manager
	db  *database
	cfg Config
	dir string
	now time.Time
}

func newServer(t testing.TB, change ...func(*Config)) *server {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"db/state.db": "x", "tls/server-ca.key": "KEY", "tls/etcd/client.crt": "CERT", "cred/encryption-config.yaml": "ENC",
		"db/volatile.rev": "1048576\n", "manifests/app.yaml": "kind: List", "tls/.half": "no",
	} {
		if err := fsx.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &server{db: &database{content: pages(t, 50), revision: 100}, dir: dir, now: time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)}
	s.cfg = Config{
		Settings: Settings{Dir: filepath.Join(dir, "snapshots"), Name: DefaultName, Retention: 3},
		Node:     "server-1", Server: dir, Database: filepath.Join(dir, "db/state.db"), Token: filepath.Join(dir, "recovery-token"),
		Copy: s.db.copy, Pin: func() (wire.Pin, error) { return wire.Pin{1, 2, 3}, nil },
		Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&s.cfg)
	}
	s.Manager = New(s.cfg)
	return s
}

func (s *server) mustSave(t testing.TB, name string) Entry {
	t.Helper()
	saved, err := s.Save(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return saved.Entry
}

// left lists what is in the folder besides its lock.
func (s *server) left(t testing.TB) []string {
	t.Helper()
	found, err := os.ReadDir(s.cfg.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, d := range found {
		if d.Name() != ".lock" {
			names = append(names, d.Name())
		}
	}
	return names
}

func TestSnapshotHoldsDatabaseAndIdentity(t *testing.T) {
	s := newServer(t)
	e := s.mustSave(t, "")
	if e.File != "on-demand-server-1-20270301T120000Z.tar.zst" {
		t.Errorf("named %s", e.File)
	}
	a, err := Open(e.Location)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	token, err := ReadToken(s.cfg.Token)
	if err != nil {
		t.Fatal(err)
	}
	m := a.Manifest()
	if m.Cluster != (wire.Pin{1, 2, 3}).String() || m.Recovery != token.ID() || m.Node != "server-1" || m.Revision != 101 || m.ObjectCount() != 7 || !m.Time.Equal(s.now) {
		t.Errorf("manifest %+v", m)
	}
	var db bytes.Buffer
	sealed, err := a.Extract(t.Context(), &db)
	if err != nil || !bytes.Equal(db.Bytes(), s.db.content) {
		t.Fatalf("database of %d bytes, %v", db.Len(), err)
	}
	id, err := OpenIdentity(sealed, token)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range id {
		got[f.Path] = string(f.Data)
	}
	if len(got) != 6 || got["tls/server-ca.key"] != "KEY" || got["tls/etcd/client.crt"] != "CERT" || got["cred/encryption-config.yaml"] != "ENC" ||
		got["db/volatile.rev"] != "1048576\n" || got["manifests/app.yaml"] != "kind: List" || got["recovery-token"] == "" {
		t.Errorf("identity %v", got)
	}
	other, err := NewToken(token.Pin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIdentity(sealed, other); !errors.Is(err, ErrWrongToken) {
		t.Errorf("another token: %v", err)
	}
	if bytes.Contains(sealed, []byte("KEY")) {
		t.Error("the identity is not sealed")
	}
}

func TestSnapshotIsAnOrdinaryArchiveForItsOwnerAlone(t *testing.T) {
	s := newServer(t)
	e := s.mustSave(t, "before-upgrade")
	st, err := os.Stat(e.Location)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("file %v, %v", st.Mode(), err)
	}
	if st, err := os.Stat(s.cfg.Dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder %v, %v", st.Mode(), err)
	}
	if st, err := os.Stat(s.cfg.Token); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("token %v, %v", st.Mode(), err)
	}
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("zstd is not installed")
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "zstd -dc '"+e.Location+"' | tar -t").CombinedOutput()
	if err != nil || string(out) != "manifest.json\nstate.db\nidentity.age\n" {
		t.Errorf("%s%v", out, err)
	}
}

func TestEveryChangeOfAFileIsFound(t *testing.T) {
	s := newServer(t)
	whole, err := os.ReadFile(s.mustSave(t, "").Location)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(raw []byte) error {
		a, err := Read(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return err
		}
		return a.Verify(t.Context())
	}
	if err := verify(whole); err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{0, 1, trailerBytes - 1, trailerBytes, len(whole) / 2, len(whole) - 1} {
		if err := verify(whole[:cut]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d: %v", cut, err)
		}
	}
	if err := verify(append(bytes.Clone(whole), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("one byte more: %v", err)
	}
	for at := 0; at < len(whole); at += 1 + len(whole)/200 {
		spoiled := bytes.Clone(whole)
		spoiled[at] ^= 0x10
		if err := verify(spoiled); !errors.Is(err, ErrDamaged) {
			t.Errorf("bit changed at %d of %d: %v", at, len(whole), err)
		}
	}
}

func TestFailedSaveLeavesNothing(t *testing.T) {
	s := newServer(t)
	s.db.set(errors.New("database is damaged"))
	if _, err := s.Save(t.Context(), ""); !errors.Is(err, s.db.get()) {
		t.Errorf("got %v", err)
	}
	if left := s.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if st := s.State(); st.Failures != 1 || st.LastError == "" {
		t.Errorf("state %+v", st)
	}
	s.db.set(nil)
	ctx, cancel := context.WithCancel(t.Context())
	s.db.during = cancel
	if _, err := s.Save(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left := s.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestSavesOfOneSecondAndAtTheSameTimeAreAllKept(t *testing.T) {
	s := newServer(t)
	errs := make(chan error)
	for range 4 {
		go func() {
			// A manager of its own, as another process has.
			_, err := New(s.cfg).Save(t.Context(), "")
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	entries, err := List(s.cfg.Dir)
	if err != nil || len(entries) != 4 || len(s.left(t)) != 4 {
		t.Fatalf("%v, %v", s.left(t), err)
	}
	for i, e := range entries {
		if !e.Good() || e.Manifest.Revision != int64(104-i) {
			t.Errorf("%d: %+v", i, e)
		}
	}
}

func TestWhatAKilledSaveLeftIsRemoved(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{".kedge-save-123/state.db", ".kedge-save-123/snapshot", ".kedge-save-9/state.db-journal"} {
		if err := fsx.WriteFile(filepath.Join(s.cfg.Dir, path), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.mustSave(t, "")
	if left := s.left(t); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestExternalDatastoreIsRefused(t *testing.T) {
	s := newServer(t, func(c *Config) { c.External = "postgres" })
	if _, err := s.Save(t.Context(), ""); !errors.Is(err, ErrExternal) || !strings.Contains(err.Error(), "postgres") {
		t.Errorf("got %v", err)
	}
}

func TestUnusableNamesAreRefused(t *testing.T) {
	s := newServer(t)
	for _, name := range []string{"../x", "a/b", ".x", "-x", "x-", "a--b", "ä", "a b", strings.Repeat("x", 61), DefaultName} {
		if _, err := s.Save(t.Context(), name); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	for _, file := range []string{"", "x", "../a.tar.zst", "/etc/a.tar.zst", ".tar.zst", ".a.tar.zst"} {
		if _, err := s.Delete(t.Context(), file); err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("file %q: %v", file, err)
		}
	}
	if left := s.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestDeleteRemovesOneAndSaysWhatIsNotThere(t *testing.T) {
	s := newServer(t)
	one, two := s.mustSave(t, ""), s.mustSave(t, "")
	deleted, err := s.Delete(t.Context(), one.File)
	if err != nil || len(deleted) != 1 || deleted[0] != one.Location {
		t.Errorf("%v, %v", deleted, err)
	}
	if left := s.left(t); len(left) != 1 || left[0] != two.File {
		t.Errorf("left: %v", left)
	}
	if _, err := s.Delete(t.Context(), one.File); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("again: %v", err)
	}
}

func TestTokenSurvivesPrintingAndReading(t *testing.T) {
	pin := wire.Pin{9}
	token, err := NewToken(pin)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{token.String(), fmt.Sprintf("%v %+v %#v %s", token, token, token, &token), token.LogValue().String()} {
		if strings.Contains(text, token.Secret) {
			t.Errorf("printed: %s", text)
		}
	}
	again, err := ParseToken(" " + token.Encode() + "\n")
	if err != nil || again != token || again.ID() != token.ID() {
		t.Errorf("%v, %v", again, err)
	}
	for _, text := range []string{"", "K1", "K1" + pin.String(), wire.Token{Pin: pin, ID: "abcdef", Secret: token.Secret}.Encode(),
		token.Encode() + "x", "K2" + token.Encode()[2:], strings.ToUpper(token.Encode())} {
		if _, err := ParseToken(text); !errors.Is(err, ErrTokenFormat) || strings.Contains(err.Error(), token.Secret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTokenStaysWhenTheAuthorityIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server", "recovery-token")
	first, made, err := EnsureToken(path, wire.Pin{1})
	if err != nil || !made {
		t.Fatal(made, err)
	}
	second, made, err := EnsureToken(path, wire.Pin{2})
	if err != nil || made || second.Secret != first.Secret || second.Pin != (wire.Pin{2}) {
		t.Errorf("%v %v %v", second, made, err)
	}
	if read, err := ReadToken(path); err != nil || read != second {
		t.Errorf("%v, %v", read, err)
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := EnsureToken(path, wire.Pin{2}); !errors.Is(err, ErrTokenFormat) {
		t.Errorf("rubbish: %v", err)
	}
}
