package restore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/datastore"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// host is a data directory with a run directory that is short enough for
// sockets.
func host(t *testing.T) paths.Layout {
	t.Helper()
	run, err := os.MkdirTemp("", "rs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	return paths.Layout{DataDir: t.TempDir(), RunDir: run}
}

// identify gives a host the files of a cluster's identity.
func identify(t *testing.T, l paths.Layout, secret string) snapshot.Token {
	t.Helper()
	p := certs.NewPaths(l)
	for _, f := range []string{p.ServerCA.Key, p.ServerCA.Cert, p.ClientCA.Key, p.ServiceKey, p.EncryptionConfig} {
		write(t, f, "of "+secret+" "+filepath.Base(f))
	}
	token := snapshot.Token{Secret: strings.Repeat(secret, wire.TokenSecretLength)}
	write(t, l.RecoveryToken(), token.Encode()+"\n")
	return token
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := fsx.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// use runs the datastore of a host while work does something with it.
func use(t *testing.T, l paths.Layout, work func(*clientv3.Client)) {
	t.Helper()
	s, err := datastore.New(datastore.Config{Path: l.Database(), SocketDir: l.RunDir, VolatileDir: datastore.VolatileDir(l.RunDir), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Component()
	if err := c.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- c.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: s.Endpoints(), DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	work(client)
	_ = client.Close()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, c *clientv3.Client, key, value string) {
	t.Helper()
	if _, err := c.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, c *clientv3.Client, key string) string {
	t.Helper()
	r, err := c.Get(t.Context(), key)
	if err != nil || len(r.Kvs) == 0 {
		return fmt.Sprint("none ", err)
	}
	return string(r.Kvs[0].Value)
}

// save makes a snapshot of a host.
func save(t *testing.T, l paths.Layout) string {
	t.Helper()
	m := snapshot.New(snapshot.Config{
		Settings: snapshot.Settings{Dir: t.TempDir(), Name: snapshot.DefaultName, Retention: 8},
		Node:     "server", Server: l.Server(), Database: l.Database(), Token: l.RecoveryToken(),
		Copy: datastore.Copy, Pin: func() (wire.Pin, error) { return wire.Pin{1}, nil },
	})
	saved, err := m.Save(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return saved.Entry.Location
}

// cluster is a host with an object in two versions: the first in a snapshot.
func cluster(t *testing.T) (l paths.Layout, token snapshot.Token, file string) {
	t.Helper()
	l = host(t)
	token = identify(t, l, "a")
	use(t, l, func(c *clientv3.Client) { put(t, c, "/registry/x", "saved") })
	file = save(t, l)
	use(t, l, func(c *clientv3.Client) { put(t, c, "/registry/x", "lost") })
	return l, token, file
}

func run(t *testing.T, l paths.Layout, file string, token *snapshot.Token) (Result, error) {
	t.Helper()
	a, err := snapshot.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	return Run(t.Context(), Request{Layout: l, Archive: a, Name: filepath.Base(file), Token: token, Now: time.Now()})
}

func TestRestoreOnTheSameHostNeedsNoTokenAndKeepsWhatWasThere(t *testing.T) {
	l, _, file := cluster(t)
	write(t, filepath.Join(l.Server(), encryptionConfig), "rotated since")
	res, err := run(t, l, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Identity || res.Already || !exists(filepath.Join(res.Aside, "state.db")) {
		t.Errorf("%+v", res)
	}
	if got, _ := os.ReadFile(filepath.Join(l.Server(), encryptionConfig)); !strings.HasPrefix(string(got), "of a") {
		t.Errorf("the configuration of encryption is %q, the database needs that of its time", got)
	}
	again, err := run(t, l, file, nil)
	if err != nil || !again.Already {
		t.Errorf("a repetition: %+v, %v", again, err)
	}
	use(t, l, func(c *clientv3.Client) {
		if got := get(t, c, "/registry/x"); got != "saved" {
			t.Errorf("x is %q", got)
		}
	})
	if third, err := run(t, l, file, nil); err != nil || third.Already || third.Aside == res.Aside {
		t.Errorf("a restore after use: %+v, %v", third, err)
	}
	leftovers(t, l)
}

func TestRestoreOnAnotherHostBringsTheIdentity(t *testing.T) {
	l, token, file := cluster(t)
	other := host(t)
	res, err := run(t, other, file, &token)
	if err != nil || !res.Identity || res.Aside != "" {
		t.Fatalf("%+v, %v", res, err)
	}
	for _, f := range []string{certs.NewPaths(l).ServerCA.Key, l.RecoveryToken(), certs.NewPaths(l).EncryptionConfig, filepath.Join(l.Server(), volatileFloor)} {
		rel, _ := filepath.Rel(l.DataDir, f)
		want, _ := os.ReadFile(f)
		got, err := os.ReadFile(filepath.Join(other.DataDir, rel))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is %q, %v", rel, got, err)
		}
	}
	use(t, other, func(c *clientv3.Client) {
		if got := get(t, c, "/registry/x"); got != "saved" {
			t.Errorf("x is %q", got)
		}
	})
	leftovers(t, other)
}

func TestRestoreRefusesWithoutChangingAnything(t *testing.T) {
	l, _, file := cluster(t)
	stranger := host(t)
	identify(t, stranger, "b")
	wrong := snapshot.Token{Secret: strings.Repeat("z", wire.TokenSecretLength)}
	damagedFile := filepath.Join(t.TempDir(), "damaged.tar.zst")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	write(t, damagedFile, string(raw))
	for _, c := range []struct {
		name  string
		l     paths.Layout
		file  string
		token *snapshot.Token
		want  error
		text  string
	}{
		{"no token", host(t), file, nil, ErrNeedsToken, "kedge snapshot token"},
		{"wrong token", host(t), file, &wrong, snapshot.ErrWrongToken, "Nothing was changed"},
		{"another cluster's host", stranger, file, nil, nil, "belongs to another cluster"},
		{"damaged snapshot", l, damagedFile, nil, snapshot.ErrDamaged, "restore damaged.tar.zst"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := tree(t, c.l)
			_, err := run(t, c.l, c.file, c.token)
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v", err)
			}
			if after := tree(t, c.l); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}

// tree is all files of a host with their content.
func tree(t *testing.T, l paths.Layout) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(l.DataDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, "-wal") {
			return err
		}
		raw, err := os.ReadFile(path)
		fmt.Fprintf(&out, "%s %d %x\n", path, len(raw), raw[:min(len(raw), 8)])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func leftovers(t *testing.T, l paths.Layout) {
	t.Helper()
	for _, p := range append(stages(l), planPath(l)) {
		if exists(p) {
			t.Errorf("%s is left", p)
		}
	}
}

func TestAcceptGoesOnWithWhatIsLeft(t *testing.T) {
	l, _, _ := cluster(t)
	if _, err := Accept(t.Context(), l, time.Now()); !errors.Is(err, ErrSound) {
		t.Errorf("a sound database: %v", err)
	}
	// The file of another time: what the witness knows of is not in it.
	older := host(t)
	use(t, older, func(c *clientv3.Client) { put(t, c, "/registry/x", "old") })
	raw, err := os.ReadFile(older.Database())
	if err != nil {
		t.Fatal(err)
	}
	write(t, l.Database(), string(raw))
	if _, err := datastore.Check(t.Context(), l.Database(), "", true); err == nil {
		t.Fatal("an older copy was not noticed")
	}
	done, err := Accept(t.Context(), l, time.Now())
	if err != nil || done.Base <= done.Revision || !exists(filepath.Join(done.Aside, "state.db")) {
		t.Fatalf("%+v, %v", done, err)
	}
	use(t, l, func(c *clientv3.Client) {
		if got := get(t, c, "/registry/x"); got != "old" {
			t.Errorf("x is %q", got)
		}
	})
	leftovers(t, l)
}

func TestAcceptRefusesWhatSQLiteCallsDamaged(t *testing.T) {
	l, _, _ := cluster(t)
	raw, err := os.ReadFile(l.Database())
	if err != nil {
		t.Fatal(err)
	}
	write(t, l.Database(), string(raw[:len(raw)/2]))
	if _, err := Accept(t.Context(), l, time.Now()); !errors.Is(err, datastore.ErrDamaged) || !strings.Contains(err.Error(), "only a snapshot restored") {
		t.Errorf("got %v", err)
	}
	leftovers(t, l)
}
