package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// smallTimeout bounds what moves few bytes: nobody waits for an upload's time to
// hear that a server is gone.
const smallTimeout = 2 * time.Minute

// readers is how many files are looked into at a time.
const readers = 8

// errSilent ends a list that does not go on.
var errSilent = errors.New("the server gave no answer in time")

// List returns the snapshots in the folder whose names begin with prefix, as
// [snapshot.List] does. What cannot be read there has a problem, and one that was
// deleted meanwhile is left out; only where nothing can be said of a file, because
// the way to the server is cut, it is an error. It may take long where there is
// much, but not without getting on.
func (b *Bucket) List(ctx context.Context, prefix string) ([]snapshot.Entry, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := min(b.cfg.Timeout, smallTimeout)
	silence := time.AfterFunc(limit, func() { cancel(errSilent) })
	defer silence.Stop()
	alive := func() { silence.Reset(limit) }
	entries, err := b.found(ctx, prefix, alive)
	if err == nil {
		entries, err = b.lookInto(ctx, entries, alive)
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), errSilent) {
			err = fmt.Errorf("%w (--snapshot-s3-timeout, %s at most): %w", errSilent, limit, err)
		}
		return nil, err
	}
	snapshot.Sort(entries)
	return entries, nil
}

// found are the names alone.
func (b *Bucket) found(ctx context.Context, prefix string, alive func()) (out []snapshot.Entry, err error) {
	for o := range b.client.ListObjectsIter(ctx, b.cfg.Bucket, minio.ListObjectsOptions{Prefix: b.prefix() + prefix}) {
		if o.Err != nil {
			return nil, fmt.Errorf("list s3://%s/%s: %w", b.cfg.Bucket, b.prefix(), b.explain(o.Err))
		}
		alive()
		if file := strings.TrimPrefix(o.Key, b.prefix()); snapshot.CheckFile(file) == nil {
			out = append(out, snapshot.Entry{File: file, Location: b.Location(file), Bytes: o.Size, Modified: o.LastModified})
		}
	}
	return out, nil
}

// lookInto reads the manifests of entries.
func (b *Bucket) lookInto(ctx context.Context, entries []snapshot.Entry, alive func()) (out []snapshot.Entry, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	var wg sync.WaitGroup
	places := make(chan struct{}, readers)
	for _, e := range entries {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			there, rerr := b.describe(ctx, &e)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case rerr == nil:
				alive()
			case err == nil:
				err = fmt.Errorf("list %s: %w", e.Location, rerr)
				stop()
			}
			if there {
				out = append(out, e)
			}
		})
	}
	wg.Wait()
	return out, err
}

// describe fills in what is in a file. It is not there if it was deleted since it
// was listed.
func (b *Bucket) describe(ctx context.Context, e *snapshot.Entry) (there bool, err error) {
	a, err := b.read(ctx, e.File, e.Bytes)
	if err == nil {
		m := a.Manifest()
		e.Manifest = &m
		return true, nil
	}
	var answer minio.ErrorResponse
	switch {
	case errors.As(err, &answer) && answer.Code == minio.NoSuchKey:
		return false, nil
	case errors.As(err, &answer) && answer.StatusCode < 500,
		errors.Is(err, snapshot.ErrDamaged), errors.Is(err, snapshot.ErrNewer):
		// Of a file that does not count fewer are deleted, not more.
		e.Problem = err.Error()
		return true, nil
	}
	return false, err
}
