package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

func TestDataDirIsFoundAsTheProgramWillFindIt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	must(t, os.WriteFile(file, []byte("node-name: x\ndata-dir: /from/file\n"), 0o600))
	none := "KEDGE_CONFIG=" + filepath.Join(dir, "none")
	for name, c := range map[string]struct {
		argv string
		env  []string
		want string
	}{
		"default":           {"kedge server", []string{none}, ""},
		"flag":              {"kedge server --data-dir /a", []string{none, "KEDGE_DATA_DIR=/b"}, "/a"},
		"flag with =":       {"kedge server --data-dir=/a --debug", []string{none}, "/a"},
		"last flag":         {"kedge server --data-dir=/a --data-dir /c", []string{none}, "/c"},
		"environment":       {"kedge server", []string{none, "KEDGE_DATA_DIR=/b"}, "/b"},
		"file by variable":  {"kedge server", []string{"KEDGE_CONFIG=" + file}, "/from/file"},
		"file by old name":  {"kedge server", []string{"KEDGE_CONFIG_FILE=" + file}, "/from/file"},
		"file by flag":      {"kedge server --config " + file, []string{none}, "/from/file"},
		"variable wins":     {"kedge server --config=" + file, []string{"KEDGE_DATA_DIR=/b"}, "/b"},
		"words of a tool":   {"kedge kubectl --data-dir /a", []string{none}, ""},
		"link of a tool":    {"/usr/bin/kubectl get --data-dir /a", []string{none, "KEDGE_DATA_DIR=/b"}, "/b"},
		"after the end":     {"kedge x -- --data-dir /a", []string{none}, ""},
		"flag without word": {"kedge server --data-dir", []string{none}, ""},
		"no arguments":      {"", []string{none}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := dataDir(strings.Fields(c.argv), c.env); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestOnlyOrdinaryUsersHaveACache(t *testing.T) {
	env := []string{"KEDGE_DATA_DIR=/d", "HOME=/home/u"}
	for name, c := range map[string]struct {
		uid  int
		env  []string
		want []string
	}{
		"root":     {0, env, []string{"/d/data"}},
		"user":     {1000, env, []string{"/d/data", "/home/u/.cache/kedge"}},
		"xdg":      {1000, append(slices.Clone(env), "XDG_CACHE_HOME=/x"), []string{"/d/data", "/x/kedge"}},
		"relative": {1000, append(slices.Clone(env), "XDG_CACHE_HOME=x"), []string{"/d/data", "/home/u/.cache/kedge"}},
		"homeless": {1000, env[:1], []string{"/d/data"}},
	} {
		if got := candidates([]string{"kedge"}, c.env, c.uid); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestOrdinaryUserUsesWhatRootUnpackedOrTheCache(t *testing.T) {
	needRoot(t)
	h := newHost(t, "one")
	must(t, os.Mkdir(h.cacheDir, 0o755))
	must(t, os.Chown(h.cacheDir, nobody, nobody))
	reachable(t, filepath.Dir(h.cacheDir))
	h.credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	if r := h.good(); !strings.HasPrefix(r.Path, h.cacheDir) {
		t.Errorf("without a slot %s was started", r.Path)
	}
	h.credential = nil
	h.good()
	h.credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	if r := h.good(); r.Path != h.slot().program() {
		t.Errorf("beside root's slot %s was started", r.Path)
	}
	// A user without a cache is told both places.
	must(t, os.RemoveAll(h.data))
	must(t, os.RemoveAll(h.cacheDir))
	_, stderr, err := h.start()
	if err == nil || !strings.Contains(stderr, h.data) || !strings.Contains(stderr, h.cacheDir) || !strings.Contains(stderr, "KEDGE_DATA_DIR") {
		t.Errorf("%v: %s", err, stderr)
	}
}

// reachable lets other users pass through the test's folders.
func reachable(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
}
