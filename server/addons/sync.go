package addons

import (
	"context"
	"errors"
	"slices"
)

// outcome of one file in one pass.
type outcome struct {
	file    string
	changed bool // new, or not as it was when last applied
	objects int
	pruned  []ref
	err     error
}

// done remembers what was applied without a fault, so that an unchanged file
// costs nothing until the next full pass.
type done map[string]string

// sync makes the cluster be as the files say. It first applies everything and
// then prunes, so that an object that moved to another file is not deleted in
// between. full also applies what did not change.
func (c cluster) sync(ctx context.Context, dir string, seen done, full bool) ([]outcome, error) {
	files, skipped, err := readDir(dir)
	if err != nil {
		return nil, err // without a whole list of files nothing may be pruned
	}
	book := records{c.client}
	recs, err := book.load(ctx)
	if err != nil {
		return nil, err
	}
	claimed := c.claims(files, recs)
	var out []outcome
	for _, f := range files {
		rec := recs[f.name]
		if rec == nil {
			rec = &record{file: f.name}
			recs[f.name] = rec
		}
		if !full && f.whole() && seen[f.name] == f.hash && rec.stored {
			continue
		}
		changed := !rec.stored || (seen[f.name] != "" && seen[f.name] != f.hash)
		o := c.syncFile(ctx, book, rec, f, claimed)
		o.changed = changed
		out = append(out, o)
	}
	for i := range out {
		f := files[slices.IndexFunc(files, func(f *file) bool { return f.name == out[i].file })]
		c.settle(ctx, book, recs[f.name], f, &out[i])
		delete(seen, f.name)
		if out[i].err == nil {
			seen[f.name] = f.hash
		}
	}
	for name, rec := range recs {
		present := slices.Contains(skipped, name) || slices.ContainsFunc(files, func(f *file) bool { return f.name == name })
		if !present {
			delete(seen, name)
			out = append(out, c.removeFile(ctx, book, rec))
		}
	}
	return out, nil
}

// claims tells whether the file of record owner still wants r. A file that is
// broken keeps all it had.
func (c cluster) claims(files []*file, recs map[string]*record) func(owner string, r ref) bool {
	wanted := map[string]map[ref]bool{}
	for _, f := range files {
		set := map[ref]bool{}
		for _, o := range f.objects {
			set[c.refOf(o).key()] = true
		}
		if rec := recs[f.name]; rec != nil && !f.whole() {
			for _, r := range rec.refs {
				set[r.key()] = true
			}
		}
		wanted[recordName(f.name)] = set
	}
	return func(owner string, r ref) bool { return wanted[owner][r.key()] }
}

// syncFile records what will be owned and applies it.
func (c cluster) syncFile(ctx context.Context, book records, rec *record, f *file, claimed func(string, ref) bool) outcome {
	o := outcome{file: f.name, objects: len(f.objects)}
	if err := book.save(ctx, rec, append(slices.Clone(rec.refs), c.refs(f)...)); err != nil {
		o.err = errors.Join(append(slices.Clone(f.problems), err)...)
		return o
	}
	o.err = errors.Join(append(slices.Clone(f.problems), c.applyAll(ctx, f, claimed))...)
	return o
}

// settle prunes what left the file and shortens the record. A reference whose
// kind was unknown when it was recorded may carry no namespace: it is kept
// apart by [ref.key] and costs one look.
func (c cluster) settle(ctx context.Context, book records, rec *record, f *file, o *outcome) {
	if !f.whole() || !rec.stored {
		return
	}
	want := c.refs(f)
	keep := slices.Clone(want)
	for _, r := range rec.refs {
		if contains(want, r) {
			continue
		}
		if err := c.prune(ctx, r, recordName(f.name)); err != nil {
			o.err = errors.Join(o.err, err)
			keep = append(keep, r)
			continue
		}
		o.pruned = append(o.pruned, r)
	}
	if err := book.save(ctx, rec, keep); err != nil {
		o.err = errors.Join(o.err, err)
	}
}

func contains(refs []ref, r ref) bool {
	return slices.ContainsFunc(refs, func(w ref) bool { return w.key() == r.key() })
}

// removeFile prunes everything of a file that is no longer there.
func (c cluster) removeFile(ctx context.Context, book records, rec *record) outcome {
	o := outcome{file: rec.file}
	for _, r := range slices.Backward(rec.refs) {
		if err := c.prune(ctx, r, recordName(rec.file)); err != nil {
			o.err = errors.Join(o.err, err)
			continue
		}
		o.pruned = append(o.pruned, r)
	}
	if o.err == nil {
		o.err = book.remove(ctx, rec)
	}
	return o
}

func (c cluster) refs(f *file) []ref {
	var out []ref
	for _, o := range f.objects {
		out = append(out, c.refOf(o))
	}
	return out
}
