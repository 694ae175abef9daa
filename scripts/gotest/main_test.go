package main

import (
	"strings"
	"testing"
)

func TestReportShowsFailuresAndPackagesAndCounts(t *testing.T) {
	events := `{"Action":"output","Package":"p","Test":"TestGood","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"    x_test.go:1: broken\n"}
{"Action":"fail","Package":"p","Test":"TestBad"}
{"Action":"fail","Package":"p"}
{"Action":"output","Package":"p","Test":"TestSkip","Output":"=== RUN TestSkip\n"}
{"Action":"output","Package":"p","Test":"TestSkip","Output":"    x_test.go:2: needs root\n"}
{"Action":"skip","Package":"p","Test":"TestSkip"}
{"Action":"skip","Package":"q"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
not json
`
	var out strings.Builder
	r, err := report(strings.NewReader(events), &out)
	if err != nil {
		t.Fatal(err)
	}
	if want := "    x_test.go:1: broken\nFAIL\tp\t0.1s\nnot json\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
	if len(r.skips) != 1 || r.skips[0] != "p TestSkip: x_test.go:2: needs root" {
		t.Errorf("skips %q", r.skips)
	}
	if len(r.failures) != 1 || r.failures[0] != "p TestBad\n    x_test.go:1: broken\n" {
		t.Errorf("failures %q", r.failures)
	}
	if want := "1 passed, 1 failed, 1 skipped"; r.String() != want {
		t.Errorf("counted %s, want %s", r, want)
	}
}
