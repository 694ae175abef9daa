package restore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/kedge-io/kedge/server/datastore"
)

// As docs/operations/backup.md tells it.
func TestRestoreThatWasUsedIsUndoneByTheFormerFilesAndAccept(t *testing.T) {
	l, _, file := cluster(t)
	use(t, l, func(c *clientv3.Client) { put(t, c, "/registry/x", "before the restore") })
	res, err := run(t, l, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	use(t, l, func(c *clientv3.Client) { put(t, c, "/registry/x", "after the restore") })
	restored, err := filepath.Glob(l.Database() + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range restored {
		gone(t, f)
	}
	former, err := filepath.Glob(filepath.Join(res.Aside, "state.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range former {
		if err := os.Rename(f, filepath.Join(filepath.Dir(l.Database()), filepath.Base(f))); err != nil {
			t.Fatal(err)
		}
	}
	if err := examine(t, l, ""); !errors.Is(err, datastore.ErrChanged) || !strings.Contains(err.Error(), "kedge datastore accept") {
		t.Fatalf("the former database is taken without a word to those who watch: %v", err)
	}
	done, err := Accept(t.Context(), l, time.Unix(0, 0))
	if err != nil || done.Base <= res.Base {
		t.Fatalf("%+v, %v, the restored one began at %d", done, err, res.Base)
	}
	use(t, l, func(c *clientv3.Client) {
		if got := get(t, c, "/registry/x"); got != "before the restore" {
			t.Errorf("x is %q", got)
		}
	})
	leftovers(t, l)
}
