package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/datastore"
)

// ErrSound tells that a database needs no acceptance.
var ErrSound = errors.New("the database is sound")

// Accepted is what [Accept] has done.
type Accepted struct {
	// Wrong is what was wrong with the database.
	Wrong error
	// Revision is the last that is left, Base the one at which the cluster goes on.
	Revision, Base int64
	// Aside is the folder with the former files.
	Aside string
}

// Accept goes on with a database that is sound in itself but lacks changes or
// was changed by somebody else, as if it had been restored: clients list again.
// A database that SQLite itself calls damaged is refused. The caller holds the
// lock of the data directory.
func Accept(ctx context.Context, l paths.Layout, now time.Time) (Accepted, error) {
	if _, err := Finish(l); err != nil {
		return Accepted{}, err
	}
	volatile := datastore.VolatileDir(l.RunDir)
	found, wrong := datastore.Check(ctx, l.Database(), volatile, true)
	done := Accepted{Wrong: wrong, Revision: found.Revision}
	switch {
	case wrong == nil:
		return done, fmt.Errorf("%w: there is nothing to accept", ErrSound)
	case !errors.Is(wrong, datastore.ErrLoss) && !errors.Is(wrong, datastore.ErrChanged):
		return done, fmt.Errorf("%w: this cannot be accepted, only a snapshot restored", wrong)
	case !exists(l.Database()):
		return done, fmt.Errorf("%w: there is nothing that could be accepted", wrong)
	}
	w := &work{layout: l, now: now, plan: plan{What: "the database as it was found"}}
	if err := w.accept(ctx, volatile, &done); err != nil {
		return done, errors.Join(fmt.Errorf("accept database: %w", err), clean(l))
	}
	done.Aside = w.asidePath()
	return done, w.carryOut()
}

func (w *work) accept(ctx context.Context, volatile string, done *Accepted) error {
	size, err := sizeOf(w.layout.Database(), w.layout.Database()+"-wal")
	if err != nil {
		return err
	}
	if err := w.room(size); err != nil {
		return err
	}
	facts, err := datastore.Copy(ctx, w.layout.Database(), w.staged())
	if err != nil {
		return err
	}
	done.Revision = facts.Revision
	known := datastore.Known(ctx, w.layout.Database(), volatile)
	done.Base = datastore.NewBase(w.now, append(known, facts.Revision)...)
	if err := w.prove(ctx, done.Base, ""); err != nil {
		return err
	}
	if err := w.barred(true); err != nil {
		return err
	}
	w.database()
	return nil
}

func sizeOf(files ...string) (sum int64, err error) {
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, fmt.Errorf("size of the database: %w", err)
		}
		if err == nil {
			sum += st.Size()
		}
	}
	return sum, nil
}
