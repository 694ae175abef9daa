package crictl

import (
	"errors"
	"strings"
	"testing"
)

func TestWithoutGeneratedSourcesTheRemedyIsNamed(t *testing.T) {
	saved := entry
	entry = nil
	t.Cleanup(func() { entry = saved })
	err := Run([]string{"ps"})
	if !errors.Is(err, ErrNotGenerated) || !strings.Contains(err.Error(), "make generate") {
		t.Fatalf("got %v", err)
	}
}

func TestRunGivesCrictlItsArgumentsAndReturnsItsError(t *testing.T) {
	if entry == nil {
		t.Skip("needs the generated sources: make generate")
	}
	if err := Run([]string{"completion", "fish"}); err != nil {
		t.Fatalf("completion: %v", err)
	}
	err := Run([]string{"--no-such-flag"})
	if err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Fatalf("an unknown flag gave %v", err)
	}
}
