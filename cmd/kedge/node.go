package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/join"
	"github.com/spf13/cobra"
)

func newNodeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Manage which machines hold the names of nodes",
	}
	cmd.AddCommand(newNodeReplaceCommand(), newNodeRevokeCommand(), newNodeAllowCommand())
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
	onNode(cmd, func(ctx context.Context, _ *admin, nodes *join.Nodes, name string) (string, error) {
		return fmt.Sprintf("the next machine that joins as %s takes the name; the machine that held it is refused", name), nodes.Replace(ctx, name)
	})
	return cmd
}

func newNodeRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Shut out the machine of a node",
		Long: `Shut out the machine of a node, for instance because it was stolen.

Within seconds its link is cut, its open API connections are ended, and it is
refused whatever certificates or tokens it shows, until kedge node allow NAME.
Tokens of service accounts that belong to pods on it are refused as well. The
name stays the machine's; kedge node replace NAME gives it to another one.

What the machine knows it still knows. A join token that is still good makes it a new
machine under a new name, if somebody throws away its device key: join tokens that
are still good are named, and kedge token rotate ends them. Look at the secrets of
its pods, too. Containers on it run on.`,
		Args: cobra.ExactArgs(1),
	}
	onNode(cmd, func(ctx context.Context, admin *admin, nodes *join.Nodes, name string) (string, error) {
		if err := nodes.Revoke(ctx, name); err != nil {
			return "", err
		}
		return fmt.Sprintf("the machine of %s is refused from now on; to let it in again: kedge node allow %s%s", name, name, stillGood(ctx, admin)), nil
	})
	return cmd
}

// stillGood names the join tokens with which anybody who has them may still make a
// machine a node.
func stillGood(ctx context.Context, admin *admin) string {
	tokens, err := admin.tokens().List(ctx)
	if err != nil {
		return fmt.Sprintf("\nwhich join tokens are still good is not known (%v): see kedge token list", err)
	}
	var ids []string
	for _, token := range tokens {
		if !token.Expired(admin.now()) && (token.UsesLeft == nil || *token.UsesLeft > 0) {
			ids = append(ids, token.ID)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return fmt.Sprintf("\njoin tokens that are still good: %s; if one was on the machine, it can come back under another name: kedge token delete ID, or kedge token rotate", strings.Join(ids, ", "))
}

func newNodeAllowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "allow NAME",
		Short: "Let a revoked machine in again",
		Long: `Let the machine in again that kedge node revoke NAME has shut out. It comes back by
itself, with the certificates that it has; it needs no token.`,
		Args: cobra.ExactArgs(1),
	}
	onNode(cmd, func(ctx context.Context, _ *admin, nodes *join.Nodes, name string) (string, error) {
		count, err := nodes.Allow(ctx, name)
		if err == nil && count == 0 {
			err = fmt.Errorf("no machine of %s is revoked", name)
		}
		return fmt.Sprintf("the machine of %s is let in again", name), err
	})
	return cmd
}

// onNode makes cmd do something with the record of a node's name, and print what
// that has come to.
func onNode(cmd *cobra.Command, do func(ctx context.Context, admin *admin, nodes *join.Nodes, name string) (string, error)) {
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
		said, err := do(cmd.Context(), admin, join.NewNodes(admin.client), name)
		if errors.Is(err, join.ErrNoClaim) {
			return fmt.Errorf("no machine holds the name %q: kedge kubectl get nodes shows the names", name)
		}
		if err != nil {
			return admin.explain(err)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
		return err
	}
}
