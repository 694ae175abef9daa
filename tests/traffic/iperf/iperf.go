package iperf

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/kedge-io/kedge/tests/traffic/flow"
)

// Test is one run of iperf3 as a client.
type Test struct {
	Host string
	Port int
	// Reverse lets the server send.
	Reverse bool
	Streams int
	Seconds int
	// UDP is the rate of all datagrams in bits per second; 0 is TCP. Size is their payload in bytes.
	UDP  int64
	Size int
}

const interval = "0.1" // seconds, flow.Bin

// ServerArgs are those of a server on the port.
func ServerArgs(port int) []string {
	return []string{"-s", "-p", strconv.Itoa(port), "-J", "-i", interval}
}

// Args are those of the client.
func (t Test) Args() []string {
	args := []string{
		"-c", t.Host, "-p", strconv.Itoa(t.Port), "-t", strconv.Itoa(t.Seconds), "-P", strconv.Itoa(max(1, t.Streams)),
		"-i", interval, "-J", "--get-server-output", "--connect-timeout", "5000",
	}
	if t.Reverse {
		args = append(args, "-R")
	}
	if t.UDP > 0 {
		args = append(args, "-u", "-b", strconv.FormatInt(t.UDP, 10), "-l", strconv.Itoa(t.Size))
	}
	return args
}

// document is what iperf3 -J prints, as far as it is read here.
type document struct {
	Error string `json:"error"`
	Start struct {
		MSS int `json:"tcp_mss_default"`
	} `json:"start"`
	Intervals []struct {
		Sum struct {
			Start   float64 `json:"start"`
			Bytes   int64   `json:"bytes"`
			Packets int64   `json:"packets"`
			// Lost is less than nothing, as a number of 64 bits without a sign, where what was late
			// for one interval came in the next.
			Lost   float64 `json:"lost_packets"`
			Sender bool    `json:"sender"`
		} `json:"sum"`
	} `json:"intervals"`
	Server *document `json:"server_output_json"`
}

func lost(n float64) int64 {
	if n >= 1<<63 {
		n -= 1 << 64
	}
	return int64(n)
}

// Report is what one run came to.
type Report struct {
	flow.Result
	// MSS is the payload of a full TCP segment in bytes; 0 for UDP.
	MSS int
}

// Parse reads the output of the client.
func Parse(text []byte) (Report, error) {
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return Report{}, fmt.Errorf("output of iperf3: %w: %.200s", err, text)
	}
	if d.Error != "" {
		return Report{}, errors.New("iperf3: " + d.Error)
	}
	r := Report{MSS: d.Start.MSS}
	counts := d
	if len(d.Intervals) > 0 && d.Intervals[0].Sum.Sender {
		if d.Server == nil {
			return r, errors.New("iperf3: the server sent no counts: start it with ServerArgs")
		}
		counts = *d.Server
	}
	for _, i := range counts.Intervals {
		bin := int(math.Round(i.Sum.Start / flow.Bin.Seconds()))
		for len(r.Bins) <= bin {
			r.Bins = append(r.Bins, 0)
		}
		r.Bins[bin] += i.Sum.Bytes
		r.Bytes += i.Sum.Bytes
		r.Sent += i.Sum.Packets
		r.Received += i.Sum.Packets - lost(i.Sum.Lost)
	}
	if r.Bytes == 0 {
		return r, errors.New("iperf3: nothing arrived")
	}
	return r, nil
}
