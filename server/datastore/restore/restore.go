package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/datastore"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// Request is one restore.
type Request struct {
	Layout  paths.Layout
	Archive *snapshot.Archive
	// Name of the snapshot, for people.
	Name string
	// Token opens the identity; nil if none was given. The data directory's own
	// is used where there is one.
	Token *snapshot.Token
	// Now is the wall clock.
	Now time.Time
}

// Result is what a restore has done.
type Result struct {
	Manifest snapshot.Manifest
	// Base is the revision at which the cluster goes on.
	Base int64
	// Aside is the folder with the former database, "" if there was none.
	Aside string
	// Identity tells that keys and certificates came from the snapshot.
	Identity bool
	// Already tells that the snapshot was restored before and not used since;
	// nothing was done.
	Already bool
}

// Run restores. The caller holds the lock of the data directory. On an error
// before its last step nothing that a server uses has changed.
func Run(ctx context.Context, r Request) (Result, error) {
	res := Result{Manifest: r.Archive.Manifest()}
	if _, err := Finish(r.Layout); err != nil {
		return res, err
	}
	owner, err := r.owner(res.Manifest)
	if err != nil {
		return res, err
	}
	id := contentOf(res.Manifest)
	if owner.present && datastore.Restored(r.Layout.Database()) == id {
		res.Already = true
		return res, nil
	}
	w := &work{layout: r.Layout, now: r.Now, plan: plan{What: r.Name}}
	err = w.make(ctx, r, owner, &res)
	if err != nil {
		return res, errors.Join(fmt.Errorf("restore %s: %w", r.Name, err), clean(r.Layout))
	}
	res.Aside = w.asidePath()
	return res, w.carryOut()
}

// contentOf names the database in a snapshot.
func contentOf(m snapshot.Manifest) string {
	for _, p := range m.Parts {
		return p.SHA256
	}
	return ""
}

// work is a restore in the making.
type work struct {
	layout paths.Layout
	now    time.Time
	plan   plan
}

func (w *work) make(ctx context.Context, r Request, o owner, res *Result) error {
	if err := w.room(res.Manifest.DatabaseBytes()); err != nil {
		return err
	}
	sealed, err := w.extract(ctx, r.Archive)
	if err != nil {
		return err
	}
	identity, err := o.open(sealed)
	if err != nil {
		return err
	}
	res.Identity = !o.present
	known := datastore.Known(ctx, w.layout.Database(), datastore.VolatileDir(w.layout.RunDir))
	// A clock behind the snapshot is wrong for sure.
	if w.now.Before(res.Manifest.Time) {
		w.now = res.Manifest.Time
	}
	res.Base = datastore.NewBase(w.now, append(known, res.Manifest.Revision)...)
	if err := w.prove(ctx, res.Base, contentOf(res.Manifest)); err != nil {
		return err
	}
	if err := w.identity(identity, o.present); err != nil {
		return err
	}
	w.database()
	return nil
}

// volatileName keeps the revisions that the volatile database has reserved.
const volatileName = "volatile.rev"

func (w *work) staged() string { return filepath.Join(stages(w.layout)[1], "state.db") }

// room makes sure that the copy and what it is worked on with have space.
func (w *work) room(need int64) error {
	dir := filepath.Dir(w.staged())
	for _, d := range stages(w.layout) {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	free, err := datastore.FreeBytes(dir)
	if err != nil {
		return err
	}
	if need += need/8 + minSpare; free < need {
		return fmt.Errorf("%s has %d MiB free and %d MiB are needed: free some space, older %s* folders in %s for instance", dir, free>>20, need>>20, asidePrefix, filepath.Dir(w.layout.Database()))
	}
	return nil
}

// minSpare is left over in bytes, for the server's start.
const minSpare = 64 << 20

func (w *work) extract(ctx context.Context, a *snapshot.Archive) (sealed []byte, err error) {
	f, err := os.OpenFile(w.staged(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("unpack database: %w", err)
	}
	sealed, err = a.Extract(ctx, f)
	return sealed, errors.Join(err, f.Close())
}

// prove makes the copy begin at base and has all of it checked.
func (w *work) prove(ctx context.Context, base int64, content string) error {
	if err := datastore.Rewind(ctx, w.staged(), base, content); err != nil {
		return err
	}
	if _, err := datastore.Check(ctx, w.staged(), "", true); err != nil {
		return fmt.Errorf("the database in it: %w", err)
	}
	return nil
}

// database plans that the new one takes the place of the former.
func (w *work) database() {
	names := map[string]bool{}
	// It only ever grows, so one that is there stays.
	if exists(filepath.Join(filepath.Dir(w.staged()), volatileName)) {
		names[volatileName] = true
	}
	for _, pattern := range []string{w.layout.Database() + "*", w.staged() + "*"} {
		found, _ := filepath.Glob(pattern) // the pattern is well formed
		for _, f := range found {
			names[filepath.Base(f)] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		w.replace(filepath.Join("db", name))
	}
}

// replace plans that target, relative to <data>/server, is put aside and what
// was made for it takes its place.
func (w *work) replace(target string) {
	stage := stageName
	rest := target
	if rel, err := filepath.Rel("db", target); err == nil && filepath.IsLocal(rel) {
		stage, rest = filepath.Join("db", stageName), rel
	}
	m := move{Target: target}
	if made := filepath.Join(stage, rest); exists(filepath.Join(w.layout.Server(), made)) {
		m.New = made
	}
	if exists(filepath.Join(w.layout.Server(), target)) {
		m.Aside = filepath.Join(w.aside(), rest)
		w.plan.Aside = w.aside()
	}
	if m.New != "" || m.Aside != "" {
		w.plan.Moves = append(w.plan.Moves, m)
	}
}

func (w *work) aside() string {
	if w.plan.Aside != "" {
		return w.plan.Aside
	}
	base := filepath.Join("db", asidePrefix+w.now.UTC().Format("20060102T150405Z"))
	name := base
	for n := 2; exists(filepath.Join(w.layout.Server(), name)); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

func (w *work) asidePath() string {
	if w.plan.Aside == "" {
		return ""
	}
	return filepath.Join(w.layout.Server(), w.plan.Aside)
}

func (w *work) carryOut() error {
	if err := w.plan.decide(w.layout); err != nil {
		return errors.Join(err, clean(w.layout))
	}
	return w.plan.carryOut(w.layout)
}
