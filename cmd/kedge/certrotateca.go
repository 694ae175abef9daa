package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/rotation"
)

const stepStatus = "status"

func newCertRotateCACommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-ca [prepare|switch|finish|status]",
		Short: "Replace the cluster's authorities by new ones, in steps, while it runs",
		Long: `Replace all authorities of the cluster by new ones, while it runs.

  prepare  makes the next authorities and has them trusted beside the present ones
  switch   lets the next ones sign; who knows only the former ones accepts that,
           because the former have certified the next. Nodes are asked to renew
  finish   ends the trust in the former ones and deletes their keys
  status   shows how far it is and which nodes are not ready to finish

Without a word it prepares and switches. Then it waits for you: machines that are
off learn the next authorities when they come back, and tokens that were made
before are good until finish. finish is refused while a node would be cut off, and
names it; --force cuts it off, and it has to join again with a new token.

Every step may be repeated, and goes on with what was interrupted.`,
		Example: `  kedge cert rotate-ca
  kedge cert rotate-ca status
  kedge cert rotate-ca finish`,
		ValidArgs: []string{rotation.Prepare, rotation.Switch, rotation.Finish, stepStatus},
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
	}
	dataDir := addDataDir(cmd.Flags())
	force := cmd.Flags().Bool("force", false, "do the step although nodes are not ready for it")
	asJSON := cmd.Flags().Bool("json", false, "print the state as JSON")
	config.MarkCommandLineOnly(cmd.Flags(), "force", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		steps := []string{rotation.Prepare, rotation.Switch}
		if len(args) == 1 {
			steps = args
		}
		d := socket{dir: *dataDir, path: paths.New(*dataDir).StatusSocket()}
		var report rotation.Report
		for _, step := range steps {
			var err error
			if report, err = d.rotation(cmd.Context(), step, *force); err != nil {
				return err
			}
		}
		if *asJSON {
			return writeJSON(cmd.OutOrStdout(), report)
		}
		return writeRotation(cmd.OutOrStdout(), report, steps[len(steps)-1])
	}
	return cmd
}

// rotation does a step, or asks how far it is.
func (s socket) rotation(ctx context.Context, step string, force bool) (rotation.Report, error) {
	method, path := http.MethodGet, rotation.Path
	if step != stepStatus {
		query := url.Values{"step": {step}}
		if force {
			query.Set("force", "true")
		}
		method, path = http.MethodPost, path+"?"+query.Encode()
	}
	var report rotation.Report
	err := health.Ask(ctx, s.path, method, path, func(body io.Reader) error { return json.NewDecoder(body).Decode(&report) })
	var refused *health.RefusedError
	if errors.As(err, &refused) && refused.Code == http.StatusNotFound {
		return report, errors.New("this host runs an agent: replace the authorities on a server")
	}
	if err = explainStatus(err, s.dir); err != nil && step != stepStatus {
		err = fmt.Errorf("%s: %w", step, err)
	}
	return report, err
}

func writeRotation(w io.Writer, r rotation.Report, step string) error {
	var b strings.Builder
	switch r.Phase {
	case certs.PhaseNone:
		if step == rotation.Finish {
			b.WriteString("The former authorities are gone. Make new tokens (kedge token rotate), hand out the\nadministrator's kubeconfig anew, and take a snapshot: older ones know the former authorities only.\n")
		} else {
			b.WriteString("No authority is being replaced.\n")
		}
	case certs.PhasePrepared:
		fmt.Fprintf(&b, "The next authorities are trusted since %s, the present ones sign.\nGo on with: kedge cert rotate-ca switch\n", r.Began.Format(time.RFC3339))
	default:
		fmt.Fprintf(&b, "The next authorities sign since %s, the former ones are still trusted.\n", r.Switched.Format(time.RFC3339))
	}
	if waiting := r.Waiting(); len(waiting) > 0 {
		fmt.Fprintf(&b, "Not ready yet: %s\n", strings.Join(waiting, ", "))
	}
	if r.Phase == certs.PhaseSwitched {
		fmt.Fprintf(&b, "End it, after %s and when all nodes are ready, with: kedge cert rotate-ca finish\n", r.Settled.Format(time.RFC3339))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
