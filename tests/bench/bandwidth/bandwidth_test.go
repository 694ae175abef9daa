package main

import (
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/traffic/flow"
	"golang.org/x/sys/unix"
)

func TestTablesHaveMedians(t *testing.T) {
	r := &results{}
	for _, v := range []float64{3, 1, 200} {
		r.add("a table", "a row", "a column", v)
	}
	r.add("a table", "another", "b", 99.94)
	var b strings.Builder
	r.print(&b)
	for _, want := range []string{"| a table | a column | b |", "| a row | 3.00 |  |", "| another |  | 99.9 |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestBorrowingIsTheTimeUntilTheOthersHaveIt(t *testing.T) {
	rate := func(from, to, n int, r *flow.Result) {
		for range to - from {
			r.Bins = append(r.Bins, int64(n))
		}
	}
	var a, c flow.Result
	rate(0, 64, 50, &a) // takes what is left at 6.4 s
	rate(64, 120, 80, &a)
	rate(0, 120, 10, &c)
	if got := borrowed(a, c, 6*time.Second, 12*time.Second); got != 400*time.Millisecond {
		t.Errorf("%s", got)
	}
}

func TestDrawingsAreWellFormedAndStable(t *testing.T) {
	r := &results{}
	r.keep(pictureStart, "kedge <out>", []int64{125_000, 130_000}, 1)
	r.keep(pictureShare, "guarantee 50", []int64{600_000}, 1)
	r.add(tableFrames, "10 Mbit/s, "+loads[0].name, "pod, out", 99)
	for _, c := range []*chart{r.startChart(), r.shareChart(), r.accuracyChart()} {
		text := c.svg()
		if err := xml.Unmarshal([]byte(text), new(struct{})); err != nil || text != c.svg() || len(c.lines) != 1 {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

func TestClassMessagesAreRead(t *testing.T) {
	attr := func(kind uint16, value []byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
		return append(binary.NativeEndian.AppendUint16(b, kind), value...)
	}
	parms := make([]byte, 44)
	binary.NativeEndian.PutUint32(parms[20:], 1_250_000) // ceil, bytes per second
	msg := make([]byte, 20)
	binary.NativeEndian.PutUint32(msg[4:], 7)           // device
	binary.NativeEndian.PutUint32(msg[8:], 0x6b65_0020) // handle
	data := slices.Concat(msg, attr(2, attr(1, parms)))
	got, ok := parseClass(unix.RTM_NEWTCLASS, data)
	if !ok || got.Device != 7 || got.Minor != 0x20 || got.Ceil != 10_000_000 {
		t.Errorf("%t %+v", ok, got)
	}
	for _, bad := range [][]byte{nil, msg, data[:len(data)-30]} {
		if got, ok := parseClass(unix.RTM_NEWTCLASS, bad); ok {
			t.Errorf("%+v", got)
		}
	}
}

func TestPluginIsCalledAsARuntimeDoes(t *testing.T) {
	var c struct {
		RuntimeConfig struct {
			Bandwidth struct{ EgressRate, EgressBurst, IngressRate, IngressBurst uint64 }
		}
	}
	if err := json.Unmarshal(pluginConfig(3, 10), &c); err != nil {
		t.Fatal(err)
	}
	if b := c.RuntimeConfig.Bandwidth; b.EgressRate != 10_000_000 || b.EgressBurst != 1<<32-1 || b.IngressRate != b.EgressRate || b.IngressBurst != b.EgressBurst {
		t.Errorf("%+v", c)
	}
}

func TestCeilingsOfChangesOccurOnce(t *testing.T) {
	seen := map[uint64]bool{}
	for i := range 3000 {
		c := ceilingOf(i)
		if seen[c] || c%8 != 0 || c < 5*mega {
			t.Fatalf("%d: %d", i, c)
		}
		seen[c] = true
	}
}
