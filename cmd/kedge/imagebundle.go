package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/config"
)

func newImageBundleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle --file FILE IMAGE...",
		Short: "Write images into one archive for sites without a registry",
		Long: `Write images into one archive, to be imported elsewhere or put into the folder
agent/images of a node's data directory. What is not on this node is pulled,
by the settings of registries.yaml, and not kept. The node must be running.

The archive has what one kind of machine needs. The same images give the same
bytes.`,
		Example: `  kedge image bundle --file site.tar.zst registry.example/app:1 docker.io/library/redis:8
  kedge image bundle --file arm.tar.zst --platform linux/arm64 registry.example/app:1`,
		Args: cobra.MinimumNArgs(1),
	}
	fs := cmd.Flags()
	dataDir := addDataDir(fs)
	file := fs.StringP("file", "f", "", "archive to write, .tar.zst or .tar; - for standard output, compressed")
	platform := fs.String("platform", "", "kind of machine that the images are for, as linux/arm64 (default: this one)")
	config.MarkCommandLineOnly(fs, "file", "platform")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		compress := strings.HasSuffix(*file, ".zst") || *file == "-"
		if !compress && !strings.HasSuffix(*file, ".tar") {
			return usageError(fmt.Errorf("--file %q: must end in .tar.zst or .tar, or be - for standard output", *file))
		}
		store, err := openImages(cmd, dataDir)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		return writeArchive(cmd.OutOrStdout(), *file, compress, func(w io.Writer) error {
			return store.Bundle(cmd.Context(), w, args, *platform, func(name string) {
				fmt.Fprintln(cmd.ErrOrStderr(), "pulling", name)
			})
		})
	}
	return cmd
}

// writeArchive lets write fill a file, which appears only when it is complete.
func writeArchive(stdout io.Writer, path string, compress bool, write func(io.Writer) error) error {
	if path == "-" {
		return compressed(stdout, write)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".kedge-bundle-")
	if err != nil {
		return err
	}
	if compress {
		err = compressed(temp, write)
	} else {
		err = write(temp)
	}
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

// compressed writes by one processor, so that the same images give the same bytes
// on every machine.
func compressed(w io.Writer, write func(io.Writer) error) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := write(z); err != nil {
		return err // without the end of the stream, what was written cannot pass for a whole
	}
	return z.Close()
}

// absolute is the full name of a file, or the name as it was given.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
