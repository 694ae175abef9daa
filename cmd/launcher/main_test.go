package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kedge-io/kedge/internal/payload"
)

// The test's own program plays the launcher, with a payload behind it. The
// payload is a script, as small as can be, or again the test's own program where
// a test looks at what only a real one has.
const roleEnv = "KEDGE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(roleEnv) == "":
		os.Exit(m.Run())
	case os.Getenv(launcherEnv) == "":
		main()
	}
	fmt.Println(string(try(json.Marshal(report{os.Getpid(), os.Args, os.Getenv(launcherEnv), try(os.Executable())}))))
	if len(os.Args) > 1 && os.Args[1] == "stay" {
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
}

// report is what the started program says about itself.
type report struct {
	Pid            int
	Argv           []string
	Launcher, Path string
}

func try[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// host is one machine's part that a launcher sees.
type host struct {
	t                 *testing.T
	release, data     string // the installed file, the folder of slots
	env               []string
	credential        *syscall.Credential
	dataDir, cacheDir string
}

// own says that the payload is the test's own program and not a script.
const own = "own program"

// large is a version that takes a while to unpack.
var large = strings.Repeat("large ", 2<<20)

// newHost installs a release file of a program whose content version makes
// unique.
func newHost(t *testing.T, version string) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{t: t, release: filepath.Join(dir, "bin", "kedge"), dataDir: filepath.Join(dir, "lib"), cacheDir: filepath.Join(dir, "cache")}
	h.data = filepath.Join(h.dataDir, "data")
	h.env = []string{roleEnv + "=launcher", "KEDGE_DATA_DIR=" + h.dataDir, "XDG_CACHE_HOME=" + h.cacheDir, "KEDGE_CONFIG="}
	must(t, os.Mkdir(filepath.Dir(h.release), 0o755))
	h.install(version, runtime.GOARCH)
	return h
}

// script reports as the test's own program does.
const script = `#!/bin/sh
printf '{"Pid":%d,"Launcher":"%s","Path":"%s"}\n' "$$" "$KEDGE_LAUNCHER" "$0"
exit 0
`

// install replaces the release file as an upgrade does, and returns its slot.
func (h *host) install(version, arch string) slot {
	h.t.Helper()
	dir := h.t.TempDir()
	self := try(os.ReadFile(try(os.Executable())))
	program := []byte(script + version)
	if version == own {
		program = self
	}
	z := try(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest)))
	for name, data := range map[string][]byte{"launcher": self, "program": program, "packed": z.EncodeAll(program, nil)} {
		must(h.t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	temp := h.release + ".new"
	out := try(os.OpenFile(temp, os.O_WRONLY|os.O_CREATE, 0o755))
	must(h.t, payload.Append(out, filepath.Join(dir, "launcher"), filepath.Join(dir, "program"), filepath.Join(dir, "packed"), arch))
	must(h.t, out.Close())
	must(h.t, os.Rename(temp, h.release))
	return h.slot()
}

// slot is where the installed release belongs.
func (h *host) slot() slot {
	p := try(payload.Open(h.release))
	defer func() { _ = p.Close() }()
	return newSlot(h.data, p.Trailer)
}

func (h *host) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.t.Context(), h.release, args...)
	cmd.Env = h.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: h.credential}
	return cmd
}

// start runs the release and returns what the program says; stderr is for
// people.
func (h *host) start(args ...string) (r report, stderr string, err error) {
	cmd := h.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &r)
	}
	return r, errs.String(), err
}

// good starts the release and expects its program.
func (h *host) good(args ...string) report {
	h.t.Helper()
	r, stderr, err := h.start(args...)
	if err != nil {
		h.t.Fatalf("start: %v\n%s", err, stderr)
	}
	return r
}

// bad starts the release, expects every word in its message and nothing
// unfinished in the folder of slots.
func (h *host) bad(words ...string) {
	h.t.Helper()
	r, stderr, err := h.start("version")
	if err == nil {
		h.t.Fatalf("started %+v", r)
	}
	for _, word := range words {
		if !strings.Contains(stderr, word) {
			h.t.Errorf("message %q has no %q", stderr, word)
		}
	}
	if !strings.HasPrefix(stderr, "kedge: ") || strings.Count(stderr, "\n") != 1 {
		h.t.Errorf("message %q is not one line of kedge", stderr)
	}
	if left := names(h.data); left != "" && left != ".lock" {
		h.t.Errorf("the folder of slots holds %q", left)
	}
}

// names lists a folder; "" when it is not there.
func names(dir string) string {
	entries, _ := os.ReadDir(dir)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}
