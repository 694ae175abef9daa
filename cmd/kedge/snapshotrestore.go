package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/clock"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/datastore/restore"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// tokenOptions say where the recovery token is.
type tokenOptions struct{ token, file string }

const recoveryToken = "recovery-token"

func newSnapshotRestoreCommand(o *snapshotCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore SNAPSHOT",
		Short: "Make this server's cluster that of a snapshot",
		Long: `Make this server's cluster that of a snapshot, which is the path of a file, the
name of one in the folder of snapshots, or s3://BUCKET/FOLDER/NAME.

The server must be stopped; nodes and their pods go on meanwhile. What was there
is kept in a folder that is named at the end. On a host without the keys of the
cluster the recovery token is needed, which kedge snapshot token has shown on the
former server. Start the server afterwards: nodes come back by themselves, and
whatever watches the API is told to list again.`,
		Example: `  kedge snapshot restore scheduled-server-20260131T060000Z.tar.zst
  kedge snapshot restore /mnt/usb/before-upgrade-server-20260131T093000Z.tar.zst --recovery-token-file /mnt/key/token`,
		Args: cobra.ExactArgs(1),
	}
	var t tokenOptions
	cmd.Flags().StringVar(&t.token, recoveryToken, "", "recovery token of the cluster; in the environment or a configuration file only")
	cmd.Flags().StringVar(&t.file, recoveryToken+"-file", "", "file with the recovery token")
	config.MarkSecret(cmd.Flags(), recoveryToken)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resolved, err := loadOptions(cmd)
		if err != nil {
			return err
		}
		if resolved.Origin(recoveryToken) == "flag" {
			return usageError(fmt.Errorf("--%s on the command line can be read by every user of this host: use --%[1]s-file, or the variable KEDGE_RECOVERY_TOKEN", recoveryToken))
		}
		token, err := t.read()
		if err != nil {
			return err
		}
		return o.restore(cmd.Context(), cmd.OutOrStdout(), args[0], token)
	}
	return cmd
}

// read returns nil if no token was given.
func (t tokenOptions) read() (*snapshot.Token, error) {
	text := t.token
	if t.file != "" {
		raw, err := os.ReadFile(t.file)
		if err != nil {
			return nil, fmt.Errorf("--%s-file: %w", recoveryToken, err)
		}
		text = string(raw)
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil //nolint:nilnil // none is an answer
	}
	token, err := snapshot.ParseToken(text)
	if err != nil {
		return nil, usageError(err)
	}
	return &token, nil
}

func (o *snapshotCommand) restore(ctx context.Context, out io.Writer, source string, token *snapshot.Token) error {
	layout := paths.New(o.dataDir)
	lock, err := lockStopped(layout, "restore a snapshot")
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	file, done, err := o.fetch(ctx, layout, source)
	if err != nil {
		return err
	}
	defer done()
	archive, err := snapshot.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }()
	res, err := restore.Run(ctx, restore.Request{
		Layout: layout, Archive: archive, Name: filepath.Base(file), Token: token, Now: notBehind(layout),
	})
	if err != nil {
		return err
	}
	return writeRestored(out, layout, filepath.Base(file), res)
}

// notBehind is the time by the machine's clock, but not before what the data
// directory has seen: revisions after a restore begin with it.
func notBehind(layout paths.Layout) time.Time {
	return clock.Open(layout.LastSeen(), built(), time.Now).Now()
}

// lockStopped takes the data directory of a kedge that does not run.
func lockStopped(layout paths.Layout, what string) (*fsx.FileLock, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("to %s root is needed: use sudo", what)
	}
	lock, err := fsx.Lock(layout.ProcessLock())
	if errors.Is(err, fsx.ErrLocked) {
		return nil, fmt.Errorf("kedge runs on %s: %w: stop it first (systemctl stop kedge), pods go on meanwhile", layout.DataDir, err)
	}
	return lock, err
}

// fetch returns the path of the snapshot's file, which done removes if it was
// brought from a bucket.
func (o *snapshotCommand) fetch(ctx context.Context, layout paths.Layout, source string) (file string, done func(), err error) {
	done = func() {}
	if rest, ok := strings.CutPrefix(source, "s3://"); ok {
		return o.download(ctx, layout, rest)
	}
	if strings.Contains(source, "/") {
		return source, done, nil
	}
	dir := o.options.dir
	if dir == "" {
		dir = layout.Snapshots()
	}
	file = filepath.Join(dir, source)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(source); err == nil {
			return source, done, nil
		}
		return "", done, fmt.Errorf("there is no snapshot %s in %s: see kedge snapshot list, or give the path of a file", source, dir)
	}
	return file, done, nil
}

// downloads are the folders of files that are brought from a bucket.
const downloads = ".download-*"

// sweepDownloads removes what a restore that was killed has brought, which may be
// half of the disk. The caller holds the lock of the data directory.
func sweepDownloads(layout paths.Layout) error {
	left, err := filepath.Glob(filepath.Join(layout.Server(), downloads))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return fmt.Errorf("remove what an earlier restore has brought: %w", err)
	}
	return nil
}

// download brings BUCKET/FOLDER/NAME beside the database.
func (o *snapshotCommand) download(ctx context.Context, layout paths.Layout, rest string) (string, func(), error) {
	opts := o.options
	none := func() {}
	bucket, key, ok := strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return "", none, usageError(fmt.Errorf("s3://%s: expected s3://BUCKET/FOLDER/NAME", rest))
	}
	name := filepath.Base(key)
	if err := snapshot.CheckFile(name); err != nil {
		return "", none, usageError(err)
	}
	opts.bucket.Bucket, opts.bucket.Folder = bucket, strings.Trim(strings.TrimSuffix(key, name), "/")
	b, err := opts.openBucket(o.node)
	if err != nil {
		return "", none, err
	}
	if err := os.MkdirAll(layout.Server(), 0o700); err != nil {
		return "", none, fmt.Errorf("make folder of the server: %w", err)
	}
	if err := sweepDownloads(layout); err != nil {
		return "", none, err
	}
	dir, err := os.MkdirTemp(layout.Server(), downloads)
	if err != nil {
		return "", none, fmt.Errorf("make folder for the download: %w", err)
	}
	done := func() { _ = os.RemoveAll(dir) }
	file := filepath.Join(dir, name)
	if err := b.Download(ctx, name, file); err != nil {
		done()
		return "", none, err
	}
	return file, done, nil
}

func writeRestored(w io.Writer, layout paths.Layout, name string, res restore.Result) error {
	if res.Already {
		_, err := fmt.Fprintf(w, "%s is restored already and was not used since: start the server\n", name)
		return err
	}
	m := res.Manifest
	var text strings.Builder
	fmt.Fprintf(&text, "%s restored: the cluster as it was at %s (%s ago) on %s, %d objects, revision %d\n", name, snapshotTime(m.Time),
		units.HumanDuration(time.Since(m.Time)), m.Node, m.ObjectCount(), m.Revision)
	if res.Identity {
		fmt.Fprintf(&text, "keys and certificates of the cluster are in %s\n", layout.Server())
	}
	if res.Aside != "" {
		fmt.Fprintf(&text, "what was there before is in %s: delete it when the cluster is as it should be\n", res.Aside)
	}
	fmt.Fprintf(&text, "it goes on at revision %d: start the server\n", res.Base)
	_, err := io.WriteString(w, text.String())
	return err
}

// finishRestore carries out what a restore that was killed has decided.
func (d *daemon) finishRestore() error {
	what, err := restore.Finish(d.id.layout)
	if err == nil && what != "" {
		d.log.Warn("a restore that was cut off is finished", "snapshot", what)
	}
	return err
}
