package runtime

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/paths"
)

var update = flag.Bool("update", false, "write golden files")

func TestConfigTextIsAsAgreed(t *testing.T) {
	for name, cfg := range map[string]Config{
		"plain":      {Layout: paths.New("")},
		"restricted": {Layout: paths.New("/srv/node2"), Snapshotter: SnapshotterNative, RestrictOOMScore: true, SystemdCgroup: true, Debug: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cfg.WithDefaults().configText()
			if err != nil {
				t.Fatal(err)
			}
			got = []byte(strings.ReplaceAll(string(got), "linux/arm64", "linux/amd64"))
			golden := filepath.Join("testdata", "config-"+name+".toml")
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("differs from %s (run with -update if meant):\n%s", golden, got)
			}
		})
	}
}

func TestConfigRejectsWhatCannotWork(t *testing.T) {
	cfg := Config{Layout: paths.Layout{DataDir: "data", RunDir: "/run/" + strings.Repeat("x", 40)}, Snapshotter: "btrfs"}
	err := cfg.Validate()
	for _, part := range []string{`"data" must be an absolute path`, `snapshotter "btrfs"`, "longer than 42 bytes"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v lacks %q", err, part)
		}
	}
	if err := (Config{Layout: paths.New("/srv/" + strings.Repeat("long/", 50))}).Validate(); err != nil {
		t.Errorf("a long data directory: %v", err)
	}
}

func TestRunningContainerdIsJudged(t *testing.T) {
	want := record{BootID: "b", Exe: "1:2", Config: "c"}
	same := record{PID: 7, Start: 9, BootID: "b", Exe: "1:2", Config: "c"}
	changed := func(f func(*record)) record { r := same; f(&r); return r }
	for name, tc := range map[string]struct {
		found record
		alive bool
		want  verdict
	}{
		"nothing recorded":  {record{}, false, startNew},
		"recorded and dead": {same, false, startNew},
		"same":              {same, true, adopt},
		"another boot":      {changed(func(r *record) { r.BootID = "a" }), true, startNew},
		"another program":   {changed(func(r *record) { r.Exe = "1:3" }), true, replace},
		"another config":    {changed(func(r *record) { r.Config = "d" }), true, replace},
	} {
		if got := judge(tc.found, want, tc.alive); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestRecordSurvivesAndDamageMeansNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	r := record{PID: 7, Start: 9, BootID: "b", Exe: "1:2", Config: "c"}
	if err := r.write(file); err != nil {
		t.Fatal(err)
	}
	if got := readRecord(file); got != r {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(file, []byte(`{"pid":7`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readRecord(file); got != (record{}) {
		t.Errorf("damaged: %+v", got)
	}
}

func TestConfigHashSeesDropIns(t *testing.T) {
	dir := t.TempDir()
	pattern := filepath.Join(dir, "*.toml")
	hash := func() string {
		h, err := configHash([]byte("text"), pattern)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	none := hash()
	if err := os.WriteFile(filepath.Join(dir, "a.toml"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := hash()
	if err := os.Rename(filepath.Join(dir, "a.toml"), filepath.Join(dir, "b.toml")); err != nil {
		t.Fatal(err)
	}
	if renamed := hash(); none == one || one == renamed || none == renamed {
		t.Error("hash is the same although drop-ins differ")
	}
}

func TestProcessStatusIsParsed(t *testing.T) {
	tail := " S 12 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 123456 99 100"
	for _, name := range []string{"(kedge)", "(a b)", "(evil) S 1 (x)"} {
		got, err := parseStat("77 " + name + tail)
		if err != nil || got != (procStat{PPID: 12, State: 'S', Start: 123456}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "77 (x) S 1", "77 (x) S y" + strings.Repeat(" 1", 20)} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// fakeProc makes a proc file system with processes of one mount namespace,
// unless "mnt" says otherwise.
func fakeProc(t *testing.T, procs map[string]map[string]string) procFS {
	t.Helper()
	root := t.TempDir()
	procs["self"] = map[string]string{}
	for pid, files := range procs {
		mnt := "mnt:[1]"
		if files["mnt"] != "" {
			mnt = files["mnt"]
		}
		if err := os.MkdirAll(filepath.Join(root, pid, "ns"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(mnt, filepath.Join(root, pid, "ns", "mnt")); err != nil {
			t.Fatal(err)
		}
		if exe := files["exe"]; exe != "" {
			if err := os.Symlink(exe, filepath.Join(root, pid, "exe")); err != nil {
				t.Fatal(err)
			}
		}
		state := "S"
		if files["state"] != "" {
			state = files["state"]
		}
		stat := fmt.Sprintf("%s (x) %s 1 %s", pid, state, strings.Repeat("0 ", 17)) + "4711 0"
		cmdline := strings.ReplaceAll(files["args"], " ", "\x00") + "\x00"
		for name, text := range map[string]string{"stat": stat, "cmdline": cmdline, "cgroup": files["cgroup"]} {
			if err := os.WriteFile(filepath.Join(root, pid, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return procFS(root)
}

func TestStrayContainerdIsFoundByItsConfigurationFile(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "kedge")
	if err := os.WriteFile(exe, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const ours = "kedge containerd --config /d/config.toml"
	for name, tc := range map[string]struct {
		proc  map[string]string
		found bool
	}{
		"ours":                    {map[string]string{"args": ours, "exe": exe}, true},
		"another data directory":  {map[string]string{"args": "kedge containerd --config /e/config.toml", "exe": exe}, false},
		"another mount namespace": {map[string]string{"args": ours, "exe": exe, "mnt": "mnt:[2]"}, false},
		"dead":                    {map[string]string{"args": ours, "exe": exe, "state": "Z"}, false},
		"an editor":               {map[string]string{"args": "vi --config /d/config.toml", "exe": exe}, false},
	} {
		p := fakeProc(t, map[string]map[string]string{"42": tc.proc})
		got, ok := findStray(p, "/d/config.toml")
		if ok != tc.found || (ok && (got.PID != 42 || got.Start != 4711)) {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

func TestShimIsKnownByPlaceAndSocket(t *testing.T) {
	const slots, socket = "/d/data", "/run/kedge/containerd/containerd.sock"
	args := []string{"shim", "-namespace", "k8s.io", "-id", "x", "-address", socket}
	for name, tc := range map[string]struct {
		exe  string
		args []string
		want bool
	}{
		"ours":              {"/d/data/abc/bin/containerd-shim-runc-v2", args, true},
		"of a former slot":  {"/d/data/old/bin/containerd-shim-runc-v2", args, true},
		"another program":   {"/usr/bin/containerd-shim-runc-v2", args, false},
		"another socket":    {"/d/data/abc/bin/containerd-shim-runc-v2", []string{"shim", "-address", "/run/containerd/containerd.sock"}, false},
		"no socket":         {"/d/data/abc/bin/containerd-shim-runc-v2", []string{"shim"}, false},
		"similar directory": {"/d/data2/abc/bin/containerd-shim-runc-v2", args, false},
	} {
		if got := isShim(tc.exe, tc.args, slots, socket); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestPodCgroupIsKnownByUID(t *testing.T) {
	uids := map[string]bool{"1b-2c": true}
	for path, want := range map[string]bool{
		"/sys/fs/cgroup/cpu/kubepods/besteffort/pod1b-2c/abc":                                                  true,
		"/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b_2c.slice/cri-x.scope": true,
		"/sys/fs/cgroup/cpu/kubepods/besteffort/pod9d-9d":                                                      false,
		"/sys/fs/cgroup/cpu/kubepods":                                                                          false,
	} {
		if got := oursByUID(path, uids); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestImageNamesAreMadeFull(t *testing.T) {
	for ref, want := range map[string]string{
		"registry.test/app:1": "registry.test/app:1",
		"app:1":               "docker.io/library/app:1",
		"me/app":              "docker.io/me/app:latest",
		"1.0":                 "docker.io/library/shop:1.0",
		"Not A Name/x":        "",
	} {
		if got := namer("/images/shop.tar.zst")(ref); got != want {
			t.Errorf("%s: %q, want %q", ref, got, want)
		}
	}
}

func TestOnlyArchivesAreTaken(t *testing.T) {
	for name, want := range map[string]bool{
		"a.tar": true, "a.tar.gz": true, "a.tgz": true, "a.tar.zst": true,
		".a.tar": false, "a.tar.part": false, "a.txt": false,
	} {
		if isArchive(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestSecretsAndSystemdStayOutOfTheEnvironment(t *testing.T) {
	got := childEnv([]string{"PATH=/bin", "KEDGE_TOKEN=s", "NOTIFY_SOCKET=/x", "GOMEMLIMIT=1", "HTTPS_PROXY=p", "no_proxy=q"}, "/slot/bin")
	if want := []string{"PATH=/slot/bin:/bin", "HTTPS_PROXY=p", "no_proxy=q"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLogIsBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "containerd.log")
	size := func(name string) int64 {
		st, err := os.Stat(name)
		if err != nil {
			return -1
		}
		return st.Size()
	}
	if err := os.WriteFile(file, make([]byte, maxLog+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := trimLog(file); err != nil || size(file) != 0 || size(file+".1") != maxLog+1 {
		t.Errorf("while running: %v, %d and %d bytes", err, size(file), size(file+".1"))
	}
	if err := os.WriteFile(file, make([]byte, maxLog+2), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openLog(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil || size(file) != 0 || size(file+".1") != maxLog+2 {
		t.Errorf("at start: %v, %d and %d bytes", err, size(file), size(file+".1"))
	}
}

func TestArchiveWaitsUntilItIsQuietAndFailuresBackOff(t *testing.T) {
	cfg := Config{Layout: paths.New(t.TempDir())}
	i, err := NewImages(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cfg.Layout.Images(), "a.tar")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	write("old", now.Add(-time.Hour))
	if due, _ := i.scan(now); len(due) != 1 {
		t.Errorf("an old file is not due: %v", due)
	}
	write("longer", now)
	due, next := i.scan(now)
	if len(due) != 0 || next <= 0 || next > quiet {
		t.Errorf("a file being written: due %v, next %v", due, next)
	}
	if due, _ = i.scan(now.Add(quiet)); len(due) != 1 {
		t.Errorf("a file that came to rest is not due: %v", due)
	}
	i.settle(file, errors.New("truncated"))
	if due, next = i.scan(time.Now()); len(due) != 0 || next <= 0 || next > retryMin {
		t.Errorf("after a failure: due %v, next %v", due, next)
	}
	i.settle(file, errors.New("truncated"))
	if got := i.files[file].delay; got != 2*retryMin {
		t.Errorf("second delay %v", got)
	}
	i.settle(file, nil)
	if due, next = i.scan(time.Now().Add(time.Hour)); len(due) != 0 || next != 0 {
		t.Errorf("after success: due %v, next %v", due, next)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if i.scan(now); len(i.files) != 0 {
		t.Error("a removed file is still known")
	}
}

func TestHeldProcessIsTheOneMeant(t *testing.T) {
	self := os.Getpid()
	st, err := hostProc.stat(self)
	if err != nil {
		t.Fatal(err)
	}
	p, err := hold(hostProc, self, st.Start)
	if err != nil {
		t.Fatal(err)
	}
	p.close()
	if _, err := hold(hostProc, self, st.Start+1); !errors.Is(err, errGone) {
		t.Errorf("another start time: %v", err)
	}
}
