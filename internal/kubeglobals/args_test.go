package kubeglobals

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestArgsPutAPersonsSettingsAboveTheDefaults(t *testing.T) {
	got := Args(
		map[string]string{"v": "0", "port": "10250", "bind": "127.0.0.1"},
		[]string{"port=1", "--taint=a", "taint=b", "quiet"},
	)
	want := []string{"--bind=127.0.0.1", "--port=1", "--quiet", "--taint=a", "--taint=b", "--v=0"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestParseNamesTheOption(t *testing.T) {
	fs := pflag.NewFlagSet("kubelet", pflag.ContinueOnError)
	fs.Int("max-pods", 110, "")
	err := Parse(fs, []string{"--max-podz=3"}, "--kubelet-arg")
	if err == nil || !strings.Contains(err.Error(), "--kubelet-arg") || !strings.Contains(err.Error(), "max-podz") {
		t.Fatalf("got %v", err)
	}
	if err := Parse(fs, []string{"max-pods"}, "--kubelet-arg"); err == nil {
		t.Fatal("a bare word was accepted")
	}
}
