package registries

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs, got:\n%s", path, text)
	}
}

// dump is a plan in one text.
func (p plan) dump() string {
	var b strings.Builder
	files := p.files(entrance{"127.0.0.1:40000", "KEY"})
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "=== %s\n%s", name, files[name])
	}
	for _, path := range slices.Sorted(maps.Keys(p.routes)) {
		r := p.routes[path]
		fmt.Fprintf(&b, "=== %s -> %s own=%v %d rewrites, %v\n", path, r.upstream, r.own, len(r.rewrites), r.host)
	}
	return b.String()
}

func TestPlanOfAllThatCanBeSaid(t *testing.T) {
	s := full(t)
	golden(t, "full.txt", makePlan(s, false).dump())
	golden(t, "mirrorsonly.txt", makePlan(s, true).dump())
}

func TestRegistryWithSettingsOfItsOwnStillHasTheMirrorOfAll(t *testing.T) {
	files := makePlan(full(t), false).files(entrance{})
	if text := files["tls.site"]; !strings.Contains(text, `[host."https://everything.site/v2"]`) || !strings.Contains(text, `server = "https://tls.site/v2"`) {
		t.Errorf("got %s", text)
	}
}

func TestRegistryNamedAsItsOwnMirrorIsAskedOnce(t *testing.T) {
	text := makePlan(full(t), false).files(entrance{})["plain.site_5000_"]
	if strings.Count(text, "plain.site:5000") != 1 || !strings.Contains(text, `server = "http://plain.site:5000/v2"`) {
		t.Errorf("got %s", text)
	}
}

func TestRewriteTakesTheFirstRuleThatMatches(t *testing.T) {
	s, err := Parse("f", []byte("mirrors:\n  a:\n    rewrite:\n      ^library/(.*): one/$1\n      (.*): two/$1\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := route{rewrites: s.Mirrors["a"].Rewrites}
	for from, want := range map[string]string{"library/app": "one/app", "team/app": "two/team/app"} {
		if got := r.rewrite(from); got != want {
			t.Errorf("%s became %s, expected %s", from, got, want)
		}
	}
}
