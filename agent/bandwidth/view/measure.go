package view

import (
	"fmt"
	"io"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Measurement is what a node's uplink carried.
type Measurement struct {
	// Egress came from the node, Ingress went there: bits per second of payload.
	Egress  bitrate.Rate `json:"egress"`
	Ingress bitrate.Rate `json:"ingress"`
	// Option is the option that says so.
	Option string `json:"option"`
	// Held is what the node holds its uplink to meanwhile, DEV=EGRESS/INGRESS: the
	// line may carry more. Empty if it does not.
	Held string `json:"held,omitempty"`
}

// overhead in per cent is what headers of Ethernet, IP, TCP and TLS add to the
// payload of a stream in full packets: classes count them, a measurement does not.
const overhead = 5

// NewMeasurement makes the option of what streams carried.
func NewMeasurement(egress, ingress bitrate.Rate) Measurement {
	m := Measurement{Egress: egress, Ingress: ingress}
	m.Option = "--uplink " + m.uplink()
	return m
}

// Under tells of the uplink that the node has told already.
func (m Measurement) Under(n snapshot.Node) Measurement {
	for _, u := range n.Uplinks[:min(1, len(n.Uplinks))] {
		if out, in := u.Directions.Egress.Rate, u.Directions.Ingress.Rate; out > 0 && in > 0 {
			m.Held = fmt.Sprintf("%s=%s/%s", u.Device, out, in)
		}
	}
	return m
}

func (m Measurement) uplink() string {
	return fmt.Sprintf("auto=%s/%s", line(m.Egress), line(m.Ingress))
}

// line is what a line carries that carries so much payload, rounded down to
// three digits.
func line(payload bitrate.Rate) bitrate.Rate {
	r, scale := payload+payload.Part(overhead, 100), bitrate.Rate(1)
	for r/scale >= 1000 {
		scale *= 10
	}
	return max(r-r%scale, slowest)
}

// slowest is the least that --uplink takes.
const slowest = 100 * bitrate.Kbit

// WriteMeasurement prints it for people.
func WriteMeasurement(w io.Writer, node string, m Measurement) error {
	_, err := fmt.Fprintf(w, `Streams over the uplink of %s carried %s from the node (egress) and %s to the
node (ingress).

Start its daemon with this option, with the name of the device instead of auto if
it has several uplinks:

  %s

or put this into its /etc/kedge/config.yaml:

  uplink:
    - %s
`, node, m.Egress.Human(), m.Ingress.Human(), m.Option, m.uplink())
	if err != nil || m.Held == "" {
		return err
	}
	_, err = fmt.Fprintf(w, `
But the node holds its uplink to %s, and its pods had their part of it: the
line may carry more. Measure again with --uplink none before you believe less.
`, m.Held)
	return err
}
