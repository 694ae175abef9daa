package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
)

func newCertCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Look at, renew and replace certificates and authorities",
		Long: `Look at, renew and replace certificates and authorities.

Certificates renew while kedge runs, after two thirds of their life, and nothing
is restarted for it: in the ordinary course of things none of this is needed.`,
	}
	cmd.AddCommand(newCertCheckCommand(), newCertRotateCommand(), newCertRotateCACommand())
	return cmd
}

func newCertRotateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Give this host's daemon new certificates now",
		Long: `Give the daemon of this host new certificates now, while it runs: those of the
server, where it is one, and those of its node. Nothing is restarted and no
connection is cut, but logs and execs that go through a server whose certificates
were given a new key.

The authorities stay: see kedge cert rotate-ca for these.`,
		Example: `  kedge cert rotate
  kedge cert rotate --new-keys`,
		Args: cobra.NoArgs,
	}
	dataDir := addDataDir(cmd.Flags())
	newKeys := cmd.Flags().Bool("new-keys", false, "make new private keys as well, but for the key that is the machine's identity")
	config.MarkCommandLineOnly(cmd.Flags(), "new-keys")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		d := socket{dir: *dataDir, path: paths.New(*dataDir).StatusSocket()}
		return d.rotate(cmd.Context(), cmd.OutOrStdout(), *newKeys)
	}
	return cmd
}

// socket is the status socket of a daemon.
type socket struct{ dir, path string }

func (s socket) post(ctx context.Context, path string, query url.Values, read func(io.Reader) error) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return explainStatus(health.Ask(ctx, s.path, http.MethodPost, path, read), s.dir)
}

func nothingToRead(io.Reader) error { return nil }

func (s socket) rotate(ctx context.Context, w io.Writer, newKeys bool) error {
	report, err := health.Fetch(ctx, s.path)
	if err != nil {
		return explainStatus(err, s.dir)
	}
	query := url.Values{}
	if newKeys {
		query.Set("new-keys", "true")
	}
	if report.Role == "server" {
		if err := s.post(ctx, certs.PathRotate, query, nothingToRead); err != nil {
			return fmt.Errorf("renew the server's certificates: %w", err)
		}
		fmt.Fprintln(w, "server: new certificates")
	}
	err = s.post(ctx, wire.PathRenewNow, query, nothingToRead)
	var refused *health.RefusedError
	switch {
	case err == nil:
		fmt.Fprintln(w, "node: new certificates")
	case errors.As(err, &refused) && refused.Code == http.StatusNotFound && report.Role == "server":
		// A server without a node.
	default:
		return fmt.Errorf("renew the node's certificates: %w", err)
	}
	return nil
}
