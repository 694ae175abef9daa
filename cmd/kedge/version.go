package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/kedge-io/kedge/internal/version"
	"github.com/spf13/cobra"
)

func newVersionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of kedge and of everything inside it",
		Args:  cobra.NoArgs,
	}
	output := addOutput(cmd.Flags(), "table", "output format: table or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(*output); err != nil {
			return err
		}
		if *output == "json" {
			return writeJSON(cmd.OutOrStdout(), version.Get())
		}
		return writeVersions(cmd.OutOrStdout(), version.Get())
	}
	return cmd
}

func writeVersions(w io.Writer, v version.Info) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, part := range [][2]string{
		{"kedge", v.Kedge}, {"commit", v.Commit}, {"date", v.Date}, {"kubernetes", v.Kubernetes}, {"containerd", v.Containerd}, {"runc", v.Runc},
		{"kine", v.Kine}, {"sqlite", v.SQLite}, {"coredns", v.CoreDNS}, {"go", v.Go}, {"platform", v.Platform},
	} {
		if part[1] != "" {
			fmt.Fprintf(tw, "%s\t%s\n", part[0], part[1])
		}
	}
	return tw.Flush()
}
