package datastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/generic"
	"github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
)

// stopTimeout is how long clients may finish what they asked for.
const stopTimeout = 2 * time.Second

// tuning is what differs between the durable and the volatile database.
type tuning struct {
	synchronous string // SQLite's word: OFF, NORMAL, FULL
	pageSize    int    // bytes; used when the file is made
	walLimit    int64  // bytes the log may keep on disk after a checkpoint
	rules       rules
}

// instance is one SQLite file with its kine and its socket.
type instance struct {
	name   string
	path   string
	socket string
	tune   tuning
	log    *slog.Logger

	backend server.Backend
	kine    *generic.Generic
	own     *sql.DB // one connection for checkpoints, so that they wait for nobody
	grpc    *grpc.Server
	served  chan error
	life    context.Context // ends when kine is told to end
	cancel  context.CancelFunc
	work    sync.WaitGroup

	state watchState
	care  sync.Mutex // held by who compacts, checkpoints or vacuums

	witness *witness // of the durable database only
	acked   *acked
}

func (i *instance) marker() string { return i.path + ".in-use" }

// kineConfig carries the figures of kine's own flags, because the library has
// none. Compaction is off: this package decides when.
func kineConfig(dsn string) *drivers.Config {
	return &drivers.Config{
		DataSourceName:   dsn,
		CompactInterval:  0,
		CompactTimeout:   5 * time.Second,
		CompactMinRetain: retainRevisions,
		CompactBatchSize: compactBatch,
		PollInterval:     time.Second,
		PollBatchSize:    500,
		ConnectionPoolConfig: generic.ConnectionPoolConfig{
			MaxIdle: 5, MaxIdleTime: 2 * time.Minute,
		},
	}
}

// dsn is in mattn's words, which kine translates for modernc. SQLite's own
// automatic checkpoint stays as a far backstop, should ours ever stop.
func (i *instance) dsn() string {
	return i.path + "?" + strings.Join([]string{
		"_journal_mode=WAL", "_busy_timeout=30000", "_synchronous=" + i.tune.synchronous,
		"_txlock=immediate", "_stmt_cache_size=20",
		fmt.Sprintf("_pragma=wal_autocheckpoint(%d)", 2*i.tune.rules.truncateAt/int64(i.tune.pageSize)),
		fmt.Sprintf("_pragma=journal_size_limit(%d)", i.tune.walLimit),
		"_kine_disable_startup_vacuum=1", "_kine_disable_compact_wal_checkpoint=1",
	}, "&")
}

// open starts kine on the checked file. base, when above zero, is the revision
// below which a fresh database must not give out any.
func (i *instance) open(ctx context.Context, base int64) error {
	if err := touch(i.marker()); err != nil {
		return err
	}
	// Before kine, so that it is the last to close: whoever closes last deletes
	// the log, and by then it must be known that it may go.
	var err error
	i.own, err = openSQLite(ctx, i.path, false, "journal_mode=WAL", "synchronous="+i.tune.synchronous, "wal_autocheckpoint=0",
		fmt.Sprintf("journal_size_limit=%d", i.tune.walLimit))
	if err != nil {
		return err
	}
	kctx, cancel := context.WithCancel(context.Background())
	i.life, i.cancel = kctx, cancel
	if err := i.dropRest(ctx); err != nil {
		return err
	}
	// kine retries an open for five minutes unless it is cancelled.
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	backend, gen, err := sqlite.NewVariant(kctx, &i.work, "sqlite3", kineConfig(i.dsn()))
	if err != nil {
		return fmt.Errorf("open %s database %s: %w", i.name, i.path, err)
	}
	i.backend, i.kine = backend, gen
	if base > 0 {
		if err := i.startAt(ctx, base); err != nil {
			return err
		}
	}
	if err := backend.Start(kctx); err != nil {
		return fmt.Errorf("start kine on %s: %w", i.path, err)
	}
	if base > 0 {
		// Whoever still watches from a revision of the lost file is told that
		// it is compacted and lists again.
		if err := gen.SetCompactRevision(ctx, base); err != nil {
			return fmt.Errorf("set first revision of %s: %w", i.path, err)
		}
	}
	i.state = newWatchState(time.Now())
	return i.listen()
}

// startAt makes the next revision base+1.
func (i *instance) startAt(ctx context.Context, base int64) error {
	_, err := i.kine.DB.ExecContext(ctx, "INSERT INTO sqlite_sequence(name, seq) SELECT 'kine', ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'kine')", base)
	if err != nil {
		return fmt.Errorf("set first revision of %s: %w", i.path, err)
	}
	return nil
}

func (i *instance) listen() error {
	if err := os.Remove(i.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove old socket %s: %w", i.socket, err)
	}
	l, err := net.Listen("unix", i.socket)
	if err != nil {
		return fmt.Errorf("listen for the etcd API: %w", err)
	}
	// Nobody gets in before this: the folder is 0700.
	if err := os.Chmod(i.socket, 0o600); err != nil {
		return errors.Join(fmt.Errorf("protect socket %s: %w", i.socket, err), l.Close())
	}
	i.grpc, i.served = newGRPC(i.backend, i.kine != nil, i.acked), make(chan error, 1)
	go func() { i.served <- i.grpc.Serve(l) }()
	return nil
}

// url is the endpoint for an etcd client.
func (i *instance) url() string { return "unix://" + i.socket }

// close ends clients, kine and the database, in this order, and removes the
// mark of use only when the log went into the database whole.
func (i *instance) close() error {
	stopGRPC(i.grpc)
	if i.cancel != nil {
		i.cancel()
	}
	i.work.Wait()
	if i.own == nil {
		return nil
	}
	i.care.Lock()
	defer i.care.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// Before the log is emptied: a power cut behind that must not look as if
	// somebody had done it.
	if err := i.noteOpened(ctx, true); err != nil {
		// The connection stays with the process: closed last, it would empty the log.
		return errors.Join(fmt.Errorf("close %s database %s, whose log stays: %w", i.name, i.path, err), i.acked.close())
	}
	log, err := i.checkpoint(ctx, "TRUNCATE")
	if err == nil && !log.busy {
		err = i.noteSettled(ctx)
	}
	if err = errors.Join(err, i.own.Close(), i.noteClosed()); err != nil {
		return fmt.Errorf("close %s database %s: %w", i.name, i.path, err)
	}
	if err := os.Remove(i.marker()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("close %s database: %w", i.name, err)
	}
	return syncParent(i.path)
}

// removeFiles takes a volatile database away.
func (i *instance) removeFiles() error {
	found, err := filepath.Glob(i.path + "*")
	if err != nil {
		return fmt.Errorf("find files of %s: %w", i.path, err)
	}
	for _, f := range found {
		if err := os.Remove(f); err != nil {
			return fmt.Errorf("remove %s database: %w", i.name, err)
		}
	}
	return nil
}
