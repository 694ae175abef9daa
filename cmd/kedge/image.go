package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/agent/runtime"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/paths"
)

func newImageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Bring container images to a node without a registry",
		Long: `Bring container images to a node without a registry, and see what is there.

Archives in the folder agent/images of the data directory are imported by the
daemon; these commands are for everything else.`,
	}
	cmd.AddCommand(newImageImportCommand(), newImageListCommand(), newImageBundleCommand())
	return cmd
}

// openImages connects to the containerd of the daemon that is meant.
func openImages(cmd *cobra.Command, dataDir *string) (*runtime.ImageStore, error) {
	if _, err := loadOptions(cmd); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("images of a node are for root: use sudo")
	}
	return runtime.OpenImages(cmd.Context(), paths.New(*dataDir))
}

func newImageImportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Import images from archives into the running node",
		Long: `Import all images of archives into the running node now. An archive is an OCI
layout or what docker save writes, as .tar, .tar.gz or .tar.zst; - is the
standard input. Images are pinned: kubelet does not collect them. An archive that
is damaged, or has an image that is not for this kind of machine, changes nothing.`,
		Example: `  kedge image import site.tar.zst
  ssh build-host cat app.tar.gz | kedge image import -`,
		Args: cobra.MinimumNArgs(1),
	}
	dataDir := addDataDir(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		store, err := openImages(cmd, dataDir)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		for _, path := range args {
			names, err := importArchive(cmd, store, path)
			if err != nil {
				return err
			}
			for _, n := range names {
				fmt.Fprintln(cmd.OutOrStdout(), n)
			}
		}
		return nil
	}
	return cmd
}

func importArchive(cmd *cobra.Command, store *runtime.ImageStore, path string) ([]string, error) {
	if path == "-" {
		return store.Import(cmd.Context(), cmd.InOrStdin(), "standard input")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return store.Import(cmd.Context(), f, absolute(path))
}

func newImageListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the images of the node, and where they came from",
		Args:  cobra.NoArgs,
	}
	fs := cmd.Flags()
	dataDir := addDataDir(fs)
	output := addOutput(fs, "table", "output format: table or json")
	quiet := fs.BoolP("quiet", "q", false, "print names only")
	config.MarkCommandLineOnly(fs, "quiet")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(*output); err != nil {
			return err
		}
		store, err := openImages(cmd, dataDir)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		all, err := store.List(cmd.Context())
		if err != nil {
			return err
		}
		switch {
		case *quiet:
			for _, i := range all {
				fmt.Fprintln(cmd.OutOrStdout(), i.Name)
			}
			return nil
		case *output == "json":
			return writeJSON(cmd.OutOrStdout(), append([]runtime.ImageInfo{}, all...))
		}
		return writeImages(cmd.OutOrStdout(), all)
	}
	return cmd
}

func writeImages(w io.Writer, all []runtime.ImageInfo) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, "IMAGE\tSIZE\tPINNED\tFROM")
	for _, i := range all {
		size, from := "incomplete", i.From
		if i.Bytes > 0 {
			size = units.HumanSize(float64(i.Bytes))
		}
		if from == "" {
			from = "pulled"
		}
		fmt.Fprintf(tw, "%s\t%s\t%v\t%s\n", i.Name, size, i.Pinned, from)
	}
	return tw.Flush()
}
