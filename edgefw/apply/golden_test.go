package apply_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

var update = flag.Bool("update", false, "write golden files")

func TestTextForIPTablesRestore(t *testing.T) {
	for _, f := range []render.Family{render.V4, render.V6} {
		text := table(f).Restore(render.B, func(string) bool { return true })
		golden := filepath.Join("testdata", fmt.Sprintf("everything-%d.txt", f))
		if *update {
			if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s differs (go test -update writes it); now:\n%s", golden, text)
		}
	}
}

func table(f render.Family) *render.Table {
	w := everything()
	return render.New(render.Input{Family: f, Ruleset: w.Ruleset, Facts: w.Facts, Pods: w.Local.Pods, Slot: func(model.SetID) render.Slot { return render.SlotA }})
}

func TestTextIsTheSameEachTime(t *testing.T) {
	for _, f := range []render.Family{render.V4, render.V6} {
		want := table(f).Hash()
		for range 50 {
			if got := table(f).Hash(); got != want {
				t.Fatalf("hash was %s and is %s", want, got)
			}
		}
	}
}

func TestHookWithoutOpinionHasNoChain(t *testing.T) {
	empty := render.New(render.Input{Family: render.V4, Ruleset: &model.Ruleset{}, Facts: facts()})
	if !empty.Empty() {
		t.Errorf("chains where nobody wants any:\n%s", empty.Restore(render.A, func(string) bool { return false }))
	}
	for _, h := range render.Hooks {
		if empty.Uses(h) {
			t.Errorf("%s is used", h.Builtin)
		}
	}
}
