package registries

import (
	"os"
	"path/filepath"
	"testing"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestFoldersOfOthersAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/own.site/hosts.toml", "server = \"https://x\"\n")
	put(t, dir+"/docker.site/ca.crt", "x")
	put(t, dir+"/port.site:5000/hosts.toml", "")
	foreign, err := certsD(dir).apply(map[string]string{
		"own.site": mark + "\n", "docker.site": mark + "\n", "port.site_5000_": mark + "\n", "ours.site": mark + "\n",
	})
	if err != nil || len(foreign) != 3 {
		t.Fatalf("foreign %v, %v", foreign, err)
	}
	if exists(dir+"/docker.site/hosts.toml") || exists(dir+"/port.site_5000_") || !exists(dir+"/ours.site/hosts.toml") {
		t.Error("the folder of somebody else counts no more")
	}
	if _, err := certsD(dir).apply(nil); err != nil {
		t.Fatal(err)
	}
	if exists(dir+"/ours.site") || !exists(dir+"/own.site/hosts.toml") || !exists(dir+"/docker.site/ca.crt") {
		t.Error("taking the settings away took too little or too much")
	}
}

func TestHostsFilesAreForRootOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := certsD(dir).apply(map[string]string{"a": mark + "\n"}); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir + "/a/hosts.toml"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
}

func TestWriteThatWasKilledIsNobodysFolder(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a/.hosts.toml.123", "half")
	if foreign, err := certsD(dir).apply(map[string]string{"a": mark + "\n"}); err != nil || len(foreign) > 0 {
		t.Errorf("%v, %v", foreign, err)
	}
}
