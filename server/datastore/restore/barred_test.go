package restore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/datastore"
)

// pin names a device in a file of barred machines.
func pin(n byte) string { return wire.Pin{n}.String() }

func revoke(t *testing.T, l paths.Layout, n byte) {
	t.Helper()
	write(t, filepath.Join(l.Server(), barredFile), `{"revoked": {"`+pin(n)+`": "edge-1"}}`)
}

// keptOut checks that these devices are barred whatever the database says.
func keptOut(t *testing.T, l paths.Layout, devices ...byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l.Server(), barredFile))
	if err != nil {
		t.Fatal(err)
	}
	_, kept, _ := strings.Cut(string(text), `"kept"`)
	for _, n := range devices {
		if !strings.Contains(kept, pin(n)) {
			t.Errorf("device %d is let in again: %s", n, text)
		}
	}
}

func TestRestoreKeepsOutWhomTheHostRefuses(t *testing.T) {
	l, token, file := cluster(t)
	revoke(t, l, 1)
	if _, err := run(t, l, file, nil); err != nil {
		t.Fatal(err)
	}
	keptOut(t, l, 1)

	// The keys are gone, and the snapshot brings a file of its own.
	revoke(t, l, 2)
	file = save(t, l)
	revoke(t, l, 3)
	gone(t, certs.NewPaths(l).ServerCA.Key)
	gone(t, l.RecoveryToken())
	if res, err := run(t, l, file, &token); err != nil || !res.Identity {
		t.Fatalf("%+v, %v", res, err)
	}
	keptOut(t, l, 2, 3)
	leftovers(t, l)

	write(t, filepath.Join(l.Server(), barredFile), "{")
	use(t, l, func(c *clientv3.Client) { put(t, c, "/registry/x", "lost") })
	if _, err := run(t, l, file, nil); err == nil || !strings.Contains(err.Error(), barredFile) {
		t.Errorf("with a file that cannot be read: %v", err)
	}
}

func TestAcceptKeepsOutWhomTheHostRefuses(t *testing.T) {
	l, _, _ := cluster(t)
	raw, err := os.ReadFile(l.Database())
	if err != nil {
		t.Fatal(err)
	}
	use(t, l, func(c *clientv3.Client) { put(t, c, "/registry/y", "since") })
	revoke(t, l, 1)
	write(t, l.Database(), string(raw)) // an older copy
	if _, err := Accept(t.Context(), l, time.Now()); err != nil {
		t.Fatal(err)
	}
	keptOut(t, l, 1)
}

func TestRestoreWhereTheDatabaseVanishedBeginsAgain(t *testing.T) {
	l, _, file := cluster(t)
	cfg := datastore.Config{Path: l.Database(), BegunPath: l.DatabaseBegun()}
	write(t, cfg.BegunPath, "")
	if err := os.RemoveAll(filepath.Dir(l.Database())); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(datastore.VolatileDir(l.RunDir)); err != nil {
		t.Fatal(err)
	}
	if _, err := datastore.Examine(t.Context(), cfg, false); !errors.Is(err, datastore.ErrLoss) {
		t.Errorf("before: %v", err)
	}
	if _, err := run(t, l, file, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := datastore.Examine(t.Context(), cfg, false); err != nil {
		t.Errorf("after: %v", err)
	}
}
