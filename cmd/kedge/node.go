package main

import (
	"errors"
	"fmt"

	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/join"
	"github.com/spf13/cobra"
)

func newNodeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Manage which machines hold the names of nodes",
	}
	cmd.AddCommand(newNodeReplaceCommand())
	return cmd
}

func newNodeReplaceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replace NAME",
		Short: "Let another machine take the name of a node",
		Long: `Let another machine take the name of a node.

The machine that holds the name loses it, and its certificates are refused from
now on. The next machine that joins with a token under this name becomes the
node. The Node object stays, with its labels, taints and the pods that are bound
to it: the new machine takes them over. To drop them as well, run afterwards
kedge kubectl delete node NAME.`,
		Args: cobra.ExactArgs(1),
	}
	dataDir := addDataDir(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if err := wire.CheckNodeName(name); err != nil {
			return usageError(fmt.Errorf("node name %.80q cannot be a node's: kedge kubectl get nodes shows the names", name))
		}
		admin, err := openAdmin(cmd, dataDir)
		if err != nil {
			return err
		}
		err = join.NewNodes(admin.client).Replace(cmd.Context(), name)
		if errors.Is(err, join.ErrNoClaim) {
			return fmt.Errorf("node %q has never joined: kedge kubectl get nodes shows the names", name)
		}
		if err != nil {
			return admin.explain(err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "the next machine that joins as %s takes the name; the machine that held it is refused\n", name)
		return err
	}
	return cmd
}
