package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/speed"
)

// DialNode opens a stream to a target of a node.
type DialNode func(ctx context.Context, node tunnel.NodeName, target tunnel.Target) (net.Conn, error)

// BenchQuery is the request of a measurement, as BenchHandler reads it.
func BenchQuery(peer string, o speed.Options) string {
	return url.Values{
		"peer": {peer}, "duration": {o.Duration.String()}, "streams": {strconv.Itoa(o.Streams)},
	}.Encode()
}

// BenchHandler measures the link to the node "peer" for each POST and answers
// with a speed.Result as JSON. It ends with the request.
func BenchHandler(dial DialNode) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "a measurement fills the line: ask for it with POST", http.StatusMethodNotAllowed)
			return
		}
		peer, options, err := readQuery(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		result, err := speed.Measure(r.Context(), func(ctx context.Context, t tunnel.Target) (net.Conn, error) {
			return dial(ctx, peer, t)
		}, options)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(result) // the client is gone: nobody to tell
	})
}

func readQuery(q url.Values) (tunnel.NodeName, speed.Options, error) {
	duration, err := time.ParseDuration(q.Get("duration"))
	streams, streamsErr := strconv.Atoi(q.Get("streams"))
	o := speed.Options{Duration: duration, Streams: streams}
	if err := errors.Join(err, streamsErr); err != nil {
		return "", o, fmt.Errorf("measurement of a link: %w", err)
	}
	if q.Get("peer") == "" {
		return "", o, errors.New("measurement of a link: no node is named")
	}
	return tunnel.NodeName(q.Get("peer")), o, o.Check()
}

// WriteBench prints a result for people.
func WriteBench(w io.Writer, peer string, r speed.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(t, "Node\t%s\n", peer)
	fmt.Fprintf(t, "From the node\t%s, %s\n", rate(r.In), streams(r.Streams))
	fmt.Fprintf(t, "To the node\t%s, %s\n", rate(r.Out), streams(r.Streams))
	fmt.Fprintf(t, "\n\tP50\tP99\tSAMPLES\n")
	for _, row := range []struct {
		name string
		q    speed.Quantiles
	}{
		{"Dial", r.Dial}, {"Round trip of 100 bytes", r.Idle},
		{"... while bulk comes", r.LoadedIn}, {"... while bulk goes", r.LoadedOut},
	} {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\n", row.name, roundTrip(row.q.P50), roundTrip(row.q.P99), row.q.N)
	}
	return t.Flush()
}

func rate(bitsPerSecond float64) string {
	return units.CustomSize("%.4g %s", bitsPerSecond, 1000, []string{"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"})
}

func streams(n int) string {
	if n == 1 {
		return "1 stream"
	}
	return fmt.Sprintf("%d streams", n)
}
