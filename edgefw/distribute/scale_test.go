package distribute

import (
	"context"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// many is the size of a fleet that one server is made for.
const many = 1000

func TestAThousandNodesShareTheirBytes(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	all := names("edge", many)
	for _, name := range all {
		f.join(name, nil, nil)
	}
	rs := rules("r", 0, 1_000)
	began := time.Now()
	f.apply(rs, all...)
	t.Logf("%d nodes have 1,000 prefixes after %v", many, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	rs = rules("r", 1, 1_000)
	f.apply(rs, all...)
	t.Logf("and one change after %v", time.Since(began).Round(time.Millisecond))
	want := rootOf(t, rs)
	for _, n := range f.nodes {
		if n.root() != want || n.dialled() != 1 {
			t.Fatalf("node %s holds something else", n.name)
		}
	}
	if figures := f.Figures(); figures.Updates != 2*many || figures.Resyncs != 0 {
		t.Errorf("figures %+v", figures)
	}
	// Its rules, its set and the difference of that were made once or, where a
	// compilation came between, twice.
	if made := f.Figures().Encoded; made > 8 {
		t.Errorf("%d parts were made", made)
	}
}

// BenchmarkFleet is one change of one entry, from the kick until the last of a
// thousand nodes in memory has acknowledged it.
func BenchmarkFleet(b *testing.B) {
	f := newFleet(&testing.T{}, func(c *Config) { c.Interval = time.Nanosecond })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, func() (plan.Input, error) { return plan.Input{}, nil })
	}()
	all := names("edge", many)
	for _, name := range all {
		f.join(name, nil, nil)
	}
	apply := func(rs *model.Ruleset) {
		f.set(rs, all...)
		revision, err := f.Sync(ctx)
		if err == nil {
			err = f.Await(ctx, nil, revision)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	apply(rules("r", 0, 10_000))
	sent := f.Figures().Bytes
	for k := 1; b.Loop(); k++ {
		apply(rules("r", k, 10_000))
	}
	b.ReportMetric(float64(f.Figures().Bytes-sent)/float64(b.N)/many, "bytes/node")
	cancel()
	<-done
	for _, n := range f.nodes {
		n.end()
	}
}
