package runtime

import (
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kedge-io/kedge/internal/paths"
)

func entry(os, arch, variant string) ocispec.Descriptor {
	return ocispec.Descriptor{Platform: &ocispec.Platform{OS: os, Architecture: arch, Variant: variant}}
}

func TestBestEntryOfAnIndexIsChosen(t *testing.T) {
	all := []ocispec.Descriptor{
		entry("unknown", "unknown", ""), entry("linux", "arm", "v7"), entry("linux", "amd64", ""), entry("linux", "arm64", "v8"), {}, entry("windows", "arm64", ""),
	}
	c, err := otherMachine("linux/arm64")
	if err != nil {
		t.Fatal(err)
	}
	fit, have := c.sift(all)
	if len(fit) == 0 || fit[0].Platform == nil || fit[0].Platform.Architecture != "arm64" || fit[0].Platform.OS != "linux" {
		t.Errorf("chosen %+v", fit)
	}
	if slices.Contains(have, "unknown/unknown") {
		t.Errorf("an attestation counts as a platform: %v", have)
	}
	if c, err = otherMachine("linux/s390x"); err != nil {
		t.Fatal(err)
	}
	if fit, _ := c.sift(all[:4]); len(fit) > 0 {
		t.Errorf("chosen %+v", fit)
	}
}

func TestPlatformMustBeOneOfLinux(t *testing.T) {
	for _, name := range []string{"windows/amd64", "///", "linux/arm64/v8/x"} {
		if _, err := otherMachine(name); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestSnapshotterIsReadFromTheConfiguration(t *testing.T) {
	cfg := testLayoutConfig(t, SnapshotterNative)
	text, err := cfg.configText()
	if err != nil {
		t.Fatal(err)
	}
	if got := snapshotterIn(string(text)); got != SnapshotterNative {
		t.Errorf("got %q", got)
	}
}

func testLayoutConfig(t *testing.T, snapshotter string) Config {
	t.Helper()
	return Config{Layout: paths.New(t.TempDir()), Snapshotter: snapshotter}.WithDefaults()
}
