package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/clock"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
)

func newCertCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Show every certificate of this host and until when it is good",
		Long: `Show every certificate of this host, of the server and of the node: where it is,
whose it is, until when it is good and which authority has signed it. It works with
and without a running daemon; with one it also shows what the server answers with.

The exit code is 1 when a certificate has ended, ends soon or cannot be read. A
certificate ends soon when it should have been renewed long ago: less than a quarter
of its life is left, or half a year of an authority's.`,
		Args: cobra.NoArgs,
	}
	dataDir := addDataDir(cmd.Flags())
	asJSON := cmd.Flags().Bool("json", false, "print as JSON")
	config.MarkCommandLineOnly(cmd.Flags(), "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		layout := paths.New(*dataDir)
		// As the daemon knows the time: a clock in 1970 finds everything good.
		now := clock.Open(layout.LastSeen(), built(), nil).Now()
		found := inspect(certFiles(layout, peek("write-kubeconfig")), now)
		if len(found) == 0 {
			return fmt.Errorf("no certificate below %s: is it the data directory, and may you read it? (--data-dir, sudo)", layout.DataDir)
		}
		found = append(found, served(cmd.Context(), layout, now)...)
		if *asJSON {
			if err := writeJSON(cmd.OutOrStdout(), found); err != nil {
				return err
			}
		} else if err := writeCerts(cmd.OutOrStdout(), found); err != nil {
			return fmt.Errorf("print certificates: %w", err)
		}
		return worst(found)
	}
	return cmd
}

// inspected is one certificate, or what is wrong with its file.
type inspected struct {
	// Name says whose it is, File where.
	Name string `json:"name"`
	File string `json:"file"`
	// Subject and Authority are names of X.509.
	Subject   string    `json:"subject,omitempty"`
	Authority string    `json:"authority,omitempty"`
	Issued    time.Time `json:"issued,omitzero"`
	Until     time.Time `json:"until,omitzero"`
	// Days are left, rounded down; below zero they are over.
	Days  int       `json:"days"`
	State pki.State `json:"state"`
	Error string    `json:"error,omitempty"`

	left time.Duration
}

// stateUnreadable is the state of a file that holds no certificate.
const stateUnreadable pki.State = "unreadable"

func describe(f certFile, cert *x509.Certificate, now time.Time) inspected {
	left := cert.NotAfter.Sub(now)
	days := int(left / (24 * time.Hour))
	if left < 0 {
		days--
	}
	return inspected{
		Name: f.name, File: f.path, Subject: cert.Subject.CommonName, Authority: cert.Issuer.CommonName,
		Issued: pki.IssuedAt(cert), Until: cert.NotAfter, Days: days, State: pki.StateOf(cert, now), left: left,
	}
}

// worst makes what is not good an error.
func worst(found []inspected) error {
	bad := 0
	for _, c := range found {
		if c.State != pki.StateGood {
			bad++
		}
	}
	if bad == 0 {
		return nil
	}
	return exitWith(exitFailure, fmt.Errorf("%d of %d certificates need attention: see kedge status for why they are not renewed, and docs/operations/certificates.md", bad, len(found)))
}

func writeCerts(out io.Writer, found []inspected) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CERTIFICATE\tSTATE\tLEFT\tUNTIL\tAUTHORITY\tFILE")
	for _, c := range found {
		if c.Error != "" {
			fmt.Fprintf(w, "%s\t%s\t\t\t\t%s: %s\n", c.Name, c.State, c.File, c.Error)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.State, span(c.left), c.Until.UTC().Format(time.RFC3339), c.Authority, c.File)
	}
	return w.Flush()
}

// span is a time left in the unit that matters.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < 2*time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}
