package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

const (
	// partSize bytes are sent, and tried again, at a time.
	partSize = 8 << 20
	// maxTries of one request, with back-off and jitter between them: about half a
	// minute in all. The caller tries again later.
	maxTries = 6
)

// Bucket is a place for snapshots. It implements [snapshot.Remote] and may be
// used by several goroutines.
type Bucket struct {
	cfg    Config
	client *minio.Client
}

// New checks cfg and reads the file of the authority. It connects to nobody.
func New(cfg Config) (*Bucket, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	// As keys are made: one name for what is kept and for what is listed.
	cfg.Folder = strings.Trim(path.Clean("/"+cfg.Folder), "/")
	transport, err := cfg.transport()
	if err != nil {
		return nil, err
	}
	client, err := minio.New(cfg.Endpoint, &minio.Options{
		Creds:     credentials.NewStaticV4(string(cfg.AccessKey), string(cfg.SecretKey), ""),
		Secure:    !cfg.Insecure,
		Transport: transport, Region: cfg.Region, BucketLookup: lookups[cfg.Lookup], MaxRetries: maxTries,
	})
	if err != nil {
		return nil, fmt.Errorf("--snapshot-s3-endpoint %s: %w", cfg.Endpoint, err)
	}
	return &Bucket{cfg: cfg, client: client}, nil
}

func (b *Bucket) key(file string) string { return path.Join(b.cfg.Folder, file) }

// Location is how people name a file in the bucket.
func (b *Bucket) Location(file string) string { return "s3://" + b.cfg.Bucket + "/" + b.key(file) }

// Upload keeps the file at path under its own name, and then reads its end back.
// On an error nothing of it is on the server, or it is removed by the next upload.
func (b *Bucket) Upload(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	file := filepath.Base(path)
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("upload snapshot: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("upload snapshot: %w", err)
	}
	b.abandonOld(ctx, filepath.Dir(path))
	if err := b.notForeign(ctx, path); err != nil {
		return err
	}
	info, err := b.client.PutObject(ctx, b.cfg.Bucket, b.key(file), f, st.Size(), minio.PutObjectOptions{
		ContentType: "application/zstd", PartSize: partSize, NumThreads: 1,
	})
	if err != nil {
		b.abandon(ctx, b.key(file))
		return fmt.Errorf("upload to %s: %w", b.Location(file), b.explain(err))
	}
	if info.Size != st.Size() {
		return fmt.Errorf("upload to %s: the server has %d of %d bytes", b.Location(file), info.Size, st.Size())
	}
	a, _, err := b.Open(ctx, file)
	if err != nil {
		return fmt.Errorf("upload to %s: read it back: %w", b.Location(file), err)
	}
	return a.Close()
}

// notForeign makes sure that no snapshot of another cluster is overwritten: two
// servers of the same name, with one schedule, give the same names.
func (b *Bucket) notForeign(ctx context.Context, local string) error {
	file := filepath.Base(local)
	there, _, err := b.Open(ctx, file)
	if err != nil {
		return nil //nolint:nilerr // there is none, or none that could be restored; else the upload says what is wrong
	}
	theirs := there.Manifest()
	own, err := snapshot.Open(local)
	if err != nil {
		return err
	}
	ours := own.Manifest()
	if err := errors.Join(own.Close(), there.Close()); err != nil {
		return err
	}
	if theirs.Recovery != ours.Recovery {
		return fmt.Errorf("upload to %s: there is one of another cluster, which is left as it is: give each cluster a --snapshot-s3-folder or a --snapshot-name of its own", b.Location(file))
	}
	return nil
}

// abandonTime is how long a server is asked to forget an upload that failed. What it
// does not hear is removed by the next upload.
const abandonTime = 15 * time.Second

// abandon removes the parts of an upload that failed, also when its time is up.
func (b *Bucket) abandon(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	if err := b.client.RemoveIncompleteUpload(ctx, b.cfg.Bucket, key); err != nil {
		b.cfg.Log.Debug("parts of a failed upload are still there", "object", key, "error", err)
	}
}

// abandonOld removes what uploads of this node have begun and not ended. Only one
// upload of a node is under way at a time, see [snapshot.Manager]. That it cannot
// be done is no reason to upload nothing. local is the folder of snapshots here.
func (b *Bucket) abandonOld(ctx context.Context, local string) {
	for u := range b.client.ListIncompleteUploads(ctx, b.cfg.Bucket, b.prefix(), true) {
		if u.Err != nil || !b.owns(u.Key, local, u.Initiated) {
			continue
		}
		if err := b.client.RemoveIncompleteUpload(ctx, b.cfg.Bucket, u.Key); err == nil {
			b.cfg.Log.Info("removed what an interrupted upload left", "object", u.Key)
		}
	}
}

// forgotten is after what time nobody goes on with an upload that was begun.
const forgotten = 24 * time.Hour

// owns tells whether an upload to key that was begun is one of this server, right in
// the folder. A name may be that of another node's, or of another cluster's with a
// node of the same name, which uploads just now; so the local file of that name
// says, or the time that has gone by.
func (b *Bucket) owns(key, local string, begun time.Time) bool {
	file, ok := strings.CutPrefix(key, b.prefix())
	if !ok || snapshot.CheckFile(file) != nil {
		return false
	}
	of, sure := snapshot.Node(file, b.cfg.Node)
	if !of {
		return false
	}
	if sure && time.Since(begun) > forgotten {
		return true
	}
	a, err := snapshot.Open(filepath.Join(local, file))
	if err != nil {
		return false
	}
	defer func() { _ = a.Close() }()
	return a.Manifest().Node == b.cfg.Node
}

func (b *Bucket) prefix() string {
	if b.cfg.Folder == "" {
		return ""
	}
	return b.cfg.Folder + "/"
}

// Delete removes a file; one that is not there is no error.
func (b *Bucket) Delete(ctx context.Context, file string) error {
	ctx, cancel := context.WithTimeout(ctx, min(b.cfg.Timeout, smallTimeout))
	defer cancel()
	if err := b.client.RemoveObject(ctx, b.cfg.Bucket, b.key(file), minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("delete %s: %w", b.Location(file), b.explain(err))
	}
	return nil
}
