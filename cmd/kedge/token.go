package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/join"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make and manage the tokens that nodes join with",
		Long: `Make and manage the tokens that nodes join with.

A token names the server by its key and lets machines join as nodes, nothing
else. The cluster keeps only a hash of it, so it is shown once. Run these
commands on a server, or set KUBECONFIG to an administrator's kubeconfig.`,
	}
	cmd.AddCommand(newTokenCreateCommand(), newTokenListCommand(), newTokenDeleteCommand(), newTokenRotateCommand())
	return cmd
}

// addTokenOptions adds what create and rotate may say about a new token.
func addTokenOptions(fs *pflag.FlagSet) *join.TokenOptions {
	o := &join.TokenOptions{}
	fs.DurationVar(&o.TTL, "ttl", join.DefaultTTL, "how long the token is good; 0 for ever")
	fs.IntVar(&o.Uses, "uses", 0, "how many machines may join with the token; 0 for any number")
	fs.StringVar(&o.Description, "description", "", "what the token is for, shown by kedge token list")
	config.MarkCommandLineOnly(fs, "ttl", "uses", "description")
	return o
}

// addJoinCommand adds what prints the whole command for a new machine.
func addJoinCommand(fs *pflag.FlagSet) *bool {
	command := fs.Bool("join-command", false, "print the command that installs a node with the token, instead of the token")
	config.MarkCommandLineOnly(fs, "join-command")
	return command
}

func newTokenCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a join token and print it",
		Args:  cobra.NoArgs,
	}
	dataDir := addDataDir(cmd.Flags())
	options := addTokenOptions(cmd.Flags())
	command := addJoinCommand(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		admin, err := openAdmin(cmd, dataDir)
		if err != nil {
			return err
		}
		id, secret, err := admin.tokens().Create(cmd.Context(), *options)
		if err != nil {
			return admin.explain(err)
		}
		return admin.printToken(cmd, id, secret, *command)
	}
	return cmd
}

func newTokenRotateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make a join token, print it and delete all others",
		Args:  cobra.NoArgs,
	}
	dataDir := addDataDir(cmd.Flags())
	options := addTokenOptions(cmd.Flags())
	command := addJoinCommand(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		admin, err := openAdmin(cmd, dataDir)
		if err != nil {
			return err
		}
		id, secret, deleted, err := admin.tokens().Rotate(cmd.Context(), *options)
		if id == "" {
			return admin.explain(err)
		}
		// The new token exists, so it is shown even when an old one could not be deleted.
		if printErr := admin.printToken(cmd, id, secret, *command); printErr != nil {
			return printErr
		}
		if err != nil {
			return admin.explain(err)
		}
		_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%d other tokens deleted; nodes that joined with them stay\n", deleted)
		return err
	}
	return cmd
}

func newTokenDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a join token; nodes that joined with it stay",
		Args:  cobra.ExactArgs(1),
	}
	dataDir := addDataDir(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		admin, err := openAdmin(cmd, dataDir)
		if err != nil {
			return err
		}
		if !wire.ValidTokenID(args[0]) {
			return usageError(fmt.Errorf("token id %.40q must be %d characters of a-z and 0-9: kedge token list shows the ids", args[0], wire.TokenIDLength))
		}
		if err := admin.tokens().Delete(cmd.Context(), args[0]); err != nil {
			return admin.explain(err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "token %s deleted\n", args[0])
		return err
	}
	return cmd
}

func newTokenListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the join tokens, without their secrets",
		Args:  cobra.NoArgs,
	}
	dataDir := addDataDir(cmd.Flags())
	output := addOutput(cmd.Flags(), "table", "output format: table or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(*output); err != nil {
			return err
		}
		admin, err := openAdmin(cmd, dataDir)
		if err != nil {
			return err
		}
		tokens, err := admin.tokens().List(cmd.Context())
		if err != nil {
			return admin.explain(err)
		}
		return writeTokens(cmd.OutOrStdout(), tokens, admin.now(), *output)
	}
	return cmd
}

func writeTokens(w io.Writer, tokens []join.Token, now time.Time, format string) error {
	if format == "json" {
		return writeJSON(w, tokens)
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tCREATED\tEXPIRES\tUSES LEFT\tDESCRIPTION")
	for _, token := range tokens {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", token.ID, token.Created.Local().Format(time.DateTime), expiry(token, now), usesLeft(token), token.Description)
	}
	return t.Flush()
}

func expiry(token join.Token, now time.Time) string {
	switch {
	case token.Expires.IsZero():
		return "never"
	case token.Expired(now):
		return "expired"
	}
	return "in " + token.Expires.Sub(now).Round(time.Second).String()
}

func usesLeft(token join.Token) string {
	if token.UsesLeft == nil {
		return "any"
	}
	return strconv.Itoa(*token.UsesLeft)
}
