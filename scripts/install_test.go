//go:build namespace

package scripts_test

import (
	"bytes"
	"context"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/scripts"
)

// large is room for everything.
const large = "256m"

func TestInstallUpgradeAndUninstall(t *testing.T) {
	for name, shell := range map[string][]string{"dash": {"dash"}, "busybox": {"busybox", "sh"}} {
		t.Run(name, func(t *testing.T) {
			b, m := newBed(t), newMachine(t, large, shell...)
			if name == "busybox" {
				// Nothing but its own tools, curl and what kedge needs.
				m.run(t, "sh", "-c", "mkdir /mnt/busybox && busybox --install -s /mnt/busybox && rm -f /mnt/busybox/wget")
			}
			lifecycle(t, b, m)
		})
	}
}

// lifecycle goes through all that a person does with the script.
func lifecycle(t *testing.T, b *bed, m *machine) {
	args := []string{"agent", "--node-label", "site=12", "--node-taint=a=b c:NoSchedule", "--token", b.token(), "--server", b.url}
	out := m.mustInstall(t, args)
	if !strings.Contains(out, "ready after") || !strings.Contains(out, "at boot") {
		t.Errorf("it says:\n%s", out)
	}
	first := "1.0 " + b.url + " agent --node-label site=12 --node-taint=a=b c:NoSchedule"
	started(t, m, first)
	secret(t, b, m)

	if out = m.mustInstall(t, nil); !strings.Contains(out, "nothing was changed") {
		t.Errorf("again, it says:\n%s", out)
	}
	started(t, m, first)

	b.program(t, "2.0")
	m.mustInstall(t, nil, "KEDGE_DEBUG=true")
	second := strings.Replace(first, "1.0", "2.0", 1)
	started(t, m, first, second)
	if text := m.run(t, "cat", "/etc/kedge/kedge.env"); !strings.Contains(text, "KEDGE_DEBUG='true'\n") || !strings.Contains(text, "KEDGE_TOKEN=") {
		t.Errorf("settings are\n%s", text)
	}
	m.mustInstall(t, nil)
	started(t, m, first, second)
	m.mustInstall(t, []string{"agent", "--debug"}, "KEDGE_DEBUG=")
	started(t, m, first, second, "2.0 "+b.url+" agent --debug")
	if text := m.run(t, "cat", "/etc/kedge/kedge.env"); strings.Contains(text, "KEDGE_DEBUG") {
		t.Errorf("a setting that was emptied is still there:\n%s", text)
	}

	// A daemon that ends is started again.
	m.run(t, "sh", "-c", "kill $(pidof sleep | tr ' ' '\n' | sort -n | tail -n 1); until [ $(wc -l </run/starts) = 4 ]; do sleep 1; done")
	m.run(t, "/usr/local/bin/kedge-killall.sh")
	if _, err := os.Stat(m.path("/var/lib/kedge")); err != nil {
		t.Errorf("after killall: %v", err)
	}
	m.mustInstall(t, nil)
	m.run(t, "/usr/local/bin/kedge-uninstall.sh")
	m.untouched(t, "run/starts")
	if out := m.run(t, "ps", "ax"); strings.Contains(out, "kedge-service") {
		t.Errorf("it is kept running:\n%s", out)
	}
}

// started compares how kedge was started, the last time maybe a moment ago: its
// status answers while a former one ends.
func started(t *testing.T, m *machine, want ...string) {
	t.Helper()
	testx.Eventually(t, 20*time.Second, fmt.Sprintf("%d starts", len(want)), func(context.Context) error {
		if got := m.starts(t); len(got) < len(want) {
			return fmt.Errorf("it was started so:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return nil
	})
	if got := m.starts(t); !slices.Equal(got, want) {
		t.Errorf("it was started so:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// secret looks for the token where every user of the host could read it.
func secret(t *testing.T, b *bed, m *machine) {
	t.Helper()
	for _, dir := range []string{"/etc", "/run", "/usr/local", "/var/log"} {
		out, _ := m.command(nil, "grep", "-rlF", b.token(), dir).Output()
		for _, file := range strings.Fields(string(out)) {
			info, err := os.Stat(m.path(file))
			must(t, err)
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s holds the token and is %v", file, info.Mode())
			}
		}
	}
	if out, _ := m.command(nil, "sh", "-c", "cat /proc/[0-9]*/cmdline").Output(); bytes.Contains(out, []byte(b.token())) {
		t.Error("the token is among the arguments of a process")
	}
}

// A case of something that goes wrong and of what mends it.
type trouble struct {
	name string
	room string
	// spoil makes it go wrong and returns what mends it.
	spoil func(t *testing.T, b *bed, m *machine) (mend func())
	env   []string // instead of the ones of a node
	words []string // of the message
	kept  []string // what may stay
}

func TestWhatGoesWrongIsSaidAndLeavesNothing(t *testing.T) {
	shim := func(name, text string) func(*testing.T, *bed, *machine) func() {
		return func(t *testing.T, _ *bed, m *machine) func() {
			m.shim(t, name, text)
			return func() { must(t, os.Remove(m.path("/mnt/shim/"+name))) }
		}
	}
	for _, c := range []trouble{
		{
			name: "wrong pin", words: []string{"does not have the key that the token names", "Nothing was changed"},
			env: []string{"KEDGE_TOKEN=K1" + strings.Repeat("ab", 32) + "::abcdef.abcdefghijklmnopqrstuvwxyz"},
		},
		{name: "no token", words: []string{"KEDGE_TOKEN is missing", "kedge token create"}, env: []string{"KEDGE_TOKEN=abcdef.abcdefghijklmnopqrstuvwxyz"}},
		{name: "nobody there", words: []string{"does not answer", "Nothing was changed"}, env: []string{"KEDGE_URL=https://127.0.0.1:1"}},
		{name: "cut download", spoil: cutFor, words: []string{"the download was cut", "goes on at byte"}, kept: []string{"/usr/local/bin/.kedge-"}},
		{name: "altered program", spoil: altered, words: []string{"thrown away"}},
		{name: "full disk", room: "8m", spoil: full, words: []string{"no room"}},
		{name: "wrong arch", spoil: shim("uname", "#!/bin/sh\ncase $1 in -m) echo riscv64 ;; *) echo Linux ;; esac\n"), words: []string{"no kedge for Linux on riscv64", "aarch64"}},
		{name: "arch that the server lacks", spoil: shim("uname", "#!/bin/sh\ncase $1 in -m) echo aarch64 ;; *) echo Linux ;; esac\n"), words: []string{"no kedge for arm64", "server/dist"}},
		{name: "missing program", spoil: missing, words: []string{"nft is missing", "no such package", "Install nft"}},
		{name: "host not fit", spoil: unfit, words: []string{"no cgroups", "not fit", "Nothing was changed"}},
		{name: "unknown variable", env: []string{"INSTALL_KEDGE_CHANNEL=latest"}, words: []string{"INSTALL_KEDGE_CHANNEL"}},
		{name: "other version", env: []string{"INSTALL_KEDGE_VERSION=3.0"}, words: []string{"1.0", "3.0"}},
		{name: "quote in an option", env: []string{"KEDGE_NODE_NAME=a'b"}, words: []string{"KEDGE_NODE_NAME", "config.yaml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			room := c.room
			if room == "" {
				room = large
			}
			b, m := newBed(t), newMachine(t, room, "dash")
			mend := func() {}
			if c.spoil != nil {
				mend = c.spoil(t, b, m)
				m.clean = m.files(t)
			}
			m.mustFail(t, c.words, append(b.node(), c.env...)...)
			m.untouched(t, c.kept...)
			mend()
			m.mustInstall(t, nil, b.node()...)
			started(t, m, "1.0 "+b.url+" agent")
			m.run(t, "/usr/local/bin/kedge-uninstall.sh")
		})
	}
}

// cutFor ends each download after 300 kB, and later ones at once.
func cutFor(t *testing.T, b *bed, _ *machine) func() {
	text, err := os.ReadFile(b.dir + "/kedge")
	must(t, err)
	b.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "kedge-linux-") {
			return false
		}
		if r.Header.Get("Range") == "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = w.Write(text[:300<<10])
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	return func() {
		b.answer(nil)
		t.Cleanup(func() {
			if ranges := b.askedRanges(); len(ranges) != 1 || ranges[0] == "" {
				t.Errorf("the next try asked for %q, want one request that goes on", ranges)
			}
		})
	}
}

// TestWaitsForItsTurnAndGoesOn has a server that is busy for longer than a cut line
// would be borne, after a part of the program has come.
func TestWaitsForItsTurnAndGoesOn(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	text, err := os.ReadFile(b.dir + "/kedge")
	must(t, err)
	asked := 0
	b.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "kedge-linux-") {
			return false
		}
		switch asked++; {
		case asked == 1:
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = w.Write(text[:300<<10])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case asked < 12:
			http.Error(w, "others come first", http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	m.mustInstall(t, nil, b.node()...)
	if ranges := b.askedRanges(); len(ranges) != 12 || ranges[11] == "" {
		t.Errorf("it asked for %q, want twelve requests, of which the last goes on", ranges)
	}
	m.run(t, "/usr/local/bin/kedge-uninstall.sh")
}

func altered(_ *testing.T, b *bed, _ *machine) func() {
	b.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "kedge-linux-") {
			return false
		}
		_, _ = w.Write([]byte("#!/bin/sh\ntouch /root/owned\n"))
		return true
	})
	return func() { b.answer(nil) }
}

func full(t *testing.T, _ *bed, m *machine) func() {
	m.run(t, "sh", "-c", "head -c 6500000 /dev/zero >/root/filler")
	return func() { m.run(t, "rm", "/root/filler") }
}

func missing(t *testing.T, _ *bed, m *machine) func() {
	m.run(t, "sh", "-c", "cp /usr/sbin/nft /mnt/nft; rm -f /usr/sbin/nft /sbin/nft")
	m.shim(t, "apt-get", "#!/bin/sh\necho 'no such package'\nexit 100\n")
	return func() { m.shim(t, "apt-get", "#!/bin/sh\ncase $1 in install) cp /mnt/nft /usr/sbin/nft ;; esac\n") }
}

func unfit(t *testing.T, _ *bed, m *machine) func() {
	must(t, os.WriteFile(m.path("/run/check"), []byte("error: no cgroups here\n"), 0o644))
	return func() { must(t, os.Remove(m.path("/run/check"))) }
}

// TestKilledInTheMiddle kills the script while it downloads, and leaves behind
// what a worse one could.
func TestKilledInTheMiddle(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	reached, release := make(chan struct{}, 1), make(chan struct{})
	b.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "kedge-linux-") {
			w.Header().Set("Content-Length", "2000000")
			_, _ = w.Write(make([]byte, 100<<10))
			w.(http.Flusher).Flush()
			reached <- struct{}{}
			<-release
			panic(http.ErrAbortHandler)
		}
		return false
	})
	cmd := m.command(b.node(), "dash")
	cmd.Stdin = bytes.NewReader(scripts.Install)
	must(t, cmd.Start())
	<-reached
	m.run(t, "sh", "-c", "kill -9 $(cat /run/kedge-install/pid); pkill -9 curl")
	_ = cmd.Wait()
	close(release)
	b.answer(nil)
	m.run(t, "sh", "-c", `echo torn >/usr/local/bin/kedge; chmod 755 /usr/local/bin/kedge; mkdir -p /etc/kedge /var/lib/kedge/data
		echo torn >/usr/local/bin/.kedge-0123; echo torn >/usr/local/bin/kedge-service.new; : >/etc/kedge/kedge.env`)
	m.mustInstall(t, nil, b.node()...)
	started(t, m, "1.0 "+b.url+" agent")
	m.run(t, "/usr/local/bin/kedge-uninstall.sh")
	m.untouched(t, "run/starts")
}

// TestHalfAScriptDoesNothing runs what is left of the script when its own
// download is cut.
func TestHalfAScriptDoesNothing(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	for part := 1; part < 40; part++ {
		cmd := m.command(b.node(), "dash")
		cmd.Stdin = bytes.NewReader(scripts.Install[:len(scripts.Install)*part/40])
		_ = cmd.Run()
	}
	m.untouched(t)
	if got := m.starts(t); got != nil {
		t.Errorf("started: %s", got)
	}
}

// TestNameOfTheServerInItsCertificateIsEnough asks at an address that the
// certificate does not have, as behind a port forward.
func TestNameOfTheServerInItsCertificateIsEnough(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	b.url = strings.Replace(b.url, "127.0.0.1", "127.0.0.2", 1)
	// While an authority is replaced there are several.
	other, _ := authority(t, pkix.Name{CommonName: "kedge-server-ca"})
	b.cacerts = encode(other, b.ca)
	// The bed listens on one address only.
	listen := strings.TrimPrefix(b.url, "https://")
	forward(t, listen, strings.Replace(listen, "127.0.0.2", "127.0.0.1", 1))
	m.mustInstall(t, nil, b.node()...)
	started(t, m, "1.0 "+b.url+" agent")
}

// TestReleaseInAFolder installs from a folder, without network.
func TestReleaseInAFolder(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	m.mustInstall(t, []string{"--tls-san", "edge.example.org"}, "INSTALL_KEDGE_FROM="+m.release(t, b), "INSTALL_KEDGE_NAME=two", "INSTALL_KEDGE_BIN_DIR=/opt/kedge")
	started(t, m, "1.0  server --tls-san edge.example.org")
	m.mustInstall(t, nil, "INSTALL_KEDGE_FROM=/mnt", "INSTALL_KEDGE_NAME=two", "INSTALL_KEDGE_FORCE_RESTART=true")
	started(t, m, "1.0  server --tls-san edge.example.org", "1.0  server --tls-san edge.example.org")
	m.run(t, "/opt/kedge/kedge-two-uninstall.sh")
	m.untouched(t, "run/starts")
}

// TestFoldersThatTheHostHadStay lets a node make the folders that kubelet makes,
// some of which are there before.
func TestFoldersThatTheHostHadStay(t *testing.T) {
	b, m := newBed(t), newMachine(t, large, "dash")
	const plugins = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec"
	m.run(t, "mkdir", "-p", "/var/log/pods", "/usr/libexec/kubernetes/kubelet-plugins")
	m.mustInstall(t, nil, b.node()...)
	m.run(t, "mkdir", "-p", "/var/log/containers", plugins)
	m.mustInstall(t, nil, append(b.node(), "KEDGE_DEBUG=true")...)
	m.run(t, "/usr/local/bin/kedge-uninstall.sh")
	for dir, stays := range map[string]bool{
		"/var/log/pods": true, "/usr/libexec/kubernetes/kubelet-plugins": true,
		"/var/log/containers": false, "/usr/libexec/kubernetes/kubelet-plugins/volume": false, "/etc/kedge": false,
	} {
		if _, err := os.Stat(m.path(dir)); (err == nil) != stays {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestImpostorsAreNotBelieved(t *testing.T) {
	b := newBed(t)
	testx.NeedRoot(t)
	m := newMachine(t, large, "dash")
	for name, text := range impostors(t, b) {
		b.mu.Lock()
		b.cacerts = text
		b.mu.Unlock()
		t.Run(name, func(t *testing.T) {
			m.mustFail(t, []string{"Nothing was changed"}, append(b.node(), "INSTALL_KEDGE_WAIT=0")...)
			m.untouched(t)
		})
	}
}
