//go:build namespace

package shape

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/bitrate"
	"github.com/kedge-io/kedge/tests/nethost"
)

// traffic is what iperf3 says at the receiver, in Mbit/s of payload: the mean
// after the first second, and the first second.
type traffic struct {
	mean, first float64
	p50, p99    float64 // ms, of ping beside it
	retransmits int
}

// report is what iperf3 -J prints.
type report struct {
	Intervals []struct {
		Sum struct {
			BPS float64 `json:"bits_per_second"`
		}
	}
	End struct {
		Sent struct{ Retransmits int } `json:"sum_sent"`
	}
}

func read(t testing.TB, path string, r *report) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		t.Fatalf("iperf3: %v", err)
	}
}

// measure sends from one host to an address of another for some seconds, with a
// ping beside it.
func measure(t testing.TB, from, to *nethost.Host, addr string, seconds int, options string) traffic {
	t.Helper()
	log := t.TempDir()
	to.Run("iperf3 -s -1 -D -J --logfile " + log + "/server; for i in $(seq 50); do ss -ltn | grep -q :5201 && exit 0; sleep 0.1; done; exit 1")
	out := from.Run(fmt.Sprintf("ping -D -i 0.02 -W 5 -w %d %s > %s/ping & iperf3 -J -c %s -t %d -i 1 %s > %[3]s/client; wait; cat %[3]s/ping; for i in $(seq 100); do tail -c 3 %[3]s/server | grep -q } && exit 0; sleep 0.1; done", seconds, addr, log, addr, seconds, options))
	var r, s report
	read(t, log+"/client", &r)
	read(t, log+"/server", &s)
	var m traffic
	in := s.Intervals
	if len(in) < seconds {
		t.Fatalf("too few intervals: %d", len(in))
	}
	m.first = in[0].Sum.BPS / 1e6
	for _, i := range in[1:seconds] {
		m.mean += i.Sum.BPS / 1e6 / float64(seconds-1)
	}
	m.retransmits = r.End.Sent.Retransmits
	var times []float64
	for _, found := range regexp.MustCompile(`time=([0-9.]+)`).FindAllStringSubmatch(out, -1) {
		v, _ := strconv.ParseFloat(found[1], 64)
		times = append(times, v)
	}
	sort.Float64s(times)
	if len(times) > 0 {
		m.p50, m.p99 = times[len(times)/2], times[len(times)*99/100]
	}
	return m
}

// BenchmarkTraffic measures what a ceiling lets through. -benchtime 1x.
func BenchmarkTraffic(b *testing.B) {
	for _, rate := range []bitrate.Rate{1, 10, 100, 500} {
		for _, way := range []string{"egress", "ingress"} {
			for _, options := range []string{"-P1", "-P8", "-u -b 0 -l 1200"} {
				if strings.HasPrefix(options, "-u") {
					options = fmt.Sprintf("-u -b %dM -l 1200", 2*rate)
				}
				b.Run(fmt.Sprintf("%dM/%s/%s", rate, way, strings.ReplaceAll(options, " ", "")), func(b *testing.B) {
					benchmarkTraffic(b, rate*bitrate.Mbit, way, options)
				})
			}
		}
	}
}

func benchmarkTraffic(b *testing.B, rate bitrate.Rate, way, options string) {
	n := newNode(b, 1)
	n.apply(n.limits(bitrate.Gbit, rate))
	for range b.N {
		var m traffic
		if way == "egress" {
			m = measure(b, n.pods[0], n.outside, "192.0.2.254", 6, options)
		} else {
			m = measure(b, n.outside, n.pods[0], "10.42.0.2", 6, options)
		}
		mbit := float64(rate) / 1e6
		b.ReportMetric(m.mean/mbit, "x")
		b.ReportMetric(m.first/mbit, "first-x")
		b.ReportMetric(m.p50, "p50-ms")
		b.ReportMetric(m.p99, "p99-ms")
		b.ReportMetric(float64(m.retransmits), "retransmits")
		b.ReportMetric(0, "ns/op")
	}
	if testing.Verbose() {
		b.Logf("%s", n.Run("tc -s class show dev kedge-out0 | grep -A4 6b65:20; tc -s class show dev kedge-in0 | grep -A4 6b65:20; dmesg | tail -2"))
	}
}

// BenchmarkThroughput measures what passing a tree costs that never limits.
func BenchmarkThroughput(b *testing.B) {
	for _, shaped := range []bool{false, true} {
		for _, way := range []string{"egress", "ingress"} {
			b.Run(fmt.Sprintf("shaped=%v/%s", shaped, way), func(b *testing.B) {
				n := newNode(b, 1)
				if shaped {
					n.apply(n.limits(bitrate.Tbit, bitrate.Tbit))
				}
				for range b.N {
					var m traffic
					if way == "egress" {
						m = measure(b, n.pods[0], n.outside, outsideAddr, 5, "-P4")
					} else {
						m = measure(b, n.outside, n.pods[0], podAddr(0).String(), 5, "-P4")
					}
					b.ReportMetric(m.mean/1000, "Gbit/s")
					b.ReportMetric(0, "ns/op")
				}
			})
		}
	}
}
