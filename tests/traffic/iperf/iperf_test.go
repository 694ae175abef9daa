package iperf

import (
	"os"
	"strings"
	"testing"
)

// The documents are of iperf3 3.12 over loopback, one second each.
func TestCountsAreThoseOfTheReceiver(t *testing.T) {
	for _, c := range []struct {
		file  string
		bytes int64
		sent  int64
	}{
		{"tcp-out", 2097152, 0}, {"tcp-in", 1048576, 0}, {"udp-out", 1250200, 893}, {"udp-in", 1250200, 893},
	} {
		text, err := os.ReadFile("testdata/" + c.file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(text)
		if err != nil || r.Bytes != c.bytes || r.Sent != c.sent || r.Lost() != 0 || len(r.Bins) != 10 {
			t.Errorf("%s: %v %+v", c.file, err, r)
		}
	}
}

func TestLossBelowNothingIsBorne(t *testing.T) {
	r, err := Parse([]byte(`{"intervals": [{"sum": {"start": 0, "bytes": 100, "packets": 10, "lost_packets": 2}},
		{"sum": {"start": 0.1, "bytes": 100, "packets": 10, "lost_packets": 1.8446744073709552e+19}}]}`))
	if err != nil || r.Lost() < 0 || r.Lost() > 2 {
		t.Errorf("%v: %d lost", err, r.Lost())
	}
}

func TestErrorsOfTheProgramAreErrors(t *testing.T) {
	text, err := os.ReadFile("testdata/refused.json")
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{"refused": string(text), "output of iperf3": "no JSON", "nothing arrived": "{}"} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
