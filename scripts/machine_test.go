//go:build namespace

package scripts_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/scripts"
)

// setup makes a machine that sees this one's files and writes into memory: $1
// is an empty folder, $2 the bytes that there is room for. What was written is in
// /mnt/upper there.
const setup = `set -e
mount --make-rprivate /
mount -t tmpfs -o size=$2 machine "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" machine "$1/root"
mount --bind "$1" "$1/root/mnt"
mount -t tmpfs machine "$1/root/run"
mount --rbind /dev "$1/root/dev"
mount -t proc machine "$1/root/proc"
mkdir "$1/service" "$1/shim"
cp "$3"/* "$1/service"
rm -rf "$1/root/etc/kedge" "$1/root/var/lib/kedge" "$1/root/usr/local/bin/kedge"*
rm -rf "$1/root/usr/libexec/kubernetes" "$1/root/var/log/pods" "$1/root/var/log/containers"
exec chroot "$1/root" /bin/sh -c 'exec 3<&0; /bin/cat <&3 & wait $!'
`

// machine is one on which kedge is to be installed.
type machine struct {
	pid   int
	shell []string // which runs the script
	// script is the one that is run; nil for that of the release.
	script []byte
	clean  []string // its files before
}

func newMachine(t *testing.T, room string, shell ...string) *machine {
	t.Helper()
	testx.NeedRoot(t)
	testx.NeedPrograms(t, "curl", "nsenter", "busybox", "nft", "iptables")
	service, err := filepath.Abs("service")
	must(t, err)
	cmd := exec.Command("sh", "-c", setup, "setup", t.TempDir(), room, service)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Setsid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_, err = cmd.StdinPipe() // its end is that of the machine, also when the test is killed
	must(t, err)
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	m := &machine{pid: cmd.Process.Pid, shell: shell}
	testx.Eventually(t, time.Minute, "the machine is up", func(context.Context) error {
		select {
		case <-ended:
			t.Fatalf("the machine did not come up: %s", &out)
		default:
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", m.pid))
		if cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", m.pid)); err == nil && !bytes.Contains(cmdline, []byte("wait $!\x00")) {
			err = fmt.Errorf("it is %q", name)
		}
		if err == nil { // chroot has the words of what it becomes
			_, err = os.Stat(m.path("/mnt/shim"))
		}
		return err
	})
	m.shim(t, "sleep", "#!/bin/sh\ncase $1 in 1000000) exec /bin/sleep $1 ;; esac\nexec /bin/sleep 0.05\n")
	m.clean = m.files(t)
	return m
}

// path is a file of the machine, seen from outside.
func (m *machine) path(name string) string { return fmt.Sprintf("/proc/%d/root%s", m.pid, name) }

// shim puts a program before all others.
func (m *machine) shim(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.WriteFile(m.path("/mnt/shim/"+name), []byte(text), 0o755))
}

// command is one on the machine. env is NAME=VALUE.
func (m *machine) command(env []string, argv ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(m.pid), "-m", "-p", "-r", "-w", "--"}, argv...)...)
	cmd.Env = append([]string{"PATH=/mnt/shim:/mnt/busybox:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, env...)
	return cmd
}

func (m *machine) run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := m.command(nil, argv...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// install pipes the script into the machine's shell, as a person does.
func (m *machine) install(args []string, env ...string) (string, error) {
	argv := append(slices.Clone(m.shell), "-s", "-")
	if len(args) > 0 {
		argv = append(slices.Clone(m.shell), append([]string{"-s", "--"}, args...)...)
	}
	cmd := m.command(env, argv...)
	var out bytes.Buffer
	script := scripts.Install
	if m.script != nil {
		script = m.script
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(script), &out, &out
	// What it started keeps the output open.
	cmd.WaitDelay = 100 * time.Millisecond
	err := cmd.Run()
	if err == exec.ErrWaitDelay { //nolint:errorlint // it is never wrapped
		err = nil
	}
	return out.String(), err
}

// release is a folder on the machine with what b hands out.
func (m *machine) release(t *testing.T, b *bed) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "kedge"))
	must(t, err)
	must(t, os.WriteFile(m.path("/mnt/kedge-linux-amd64"), text, 0o644))
	m.run(t, "sh", "-c", "cd /mnt && sha256sum kedge-linux-amd64 >sha256sums.txt")
	return "/mnt"
}

// node are the variables with which a machine becomes a node of b.
func (b *bed) node() []string {
	return []string{"KEDGE_URL=" + b.url, "KEDGE_TOKEN=" + b.token()}
}

func (m *machine) mustInstall(t *testing.T, args []string, env ...string) string {
	t.Helper()
	out, err := m.install(args, env...)
	if err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	return out
}

// mustFail installs in vain: each word must be in what is said.
func (m *machine) mustFail(t *testing.T, words []string, env ...string) {
	t.Helper()
	out, err := m.install(nil, env...)
	if err == nil {
		t.Errorf("it was installed:\n%s", out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("it says nothing of %q:\n%s", word, out)
		}
	}
	if lines := strings.Count(out, "\n"); lines > 6 {
		t.Errorf("%d lines:\n%s", lines, out)
	}
}

// files are all that the machine has written so far, folders too.
func (m *machine) files(t *testing.T) []string {
	t.Helper()
	out := m.run(t, "sh", "-c", "cd /mnt/upper && /usr/bin/find . -mindepth 1 ! -type d -printf '%p %y\n' -o -type d -empty -printf '%p/\n'; /bin/ls /run | /bin/sed 's,^,run/,'")
	files := slices.Sorted(strings.Lines(out))
	// A folder that something was in is in the upper layer, too.
	return slices.DeleteFunc(files, func(f string) bool {
		_, err := os.Stat("/" + strings.TrimSpace(f))
		return strings.HasSuffix(f, "/\n") && err == nil
	})
}

// untouched fails the test if anything was written, but for names that contain
// one of the words.
func (m *machine) untouched(t *testing.T, except ...string) {
	t.Helper()
	for _, file := range m.files(t) {
		if !slices.Contains(m.clean, file) && !slices.ContainsFunc(except, func(word string) bool { return strings.Contains(file, word) }) {
			t.Errorf("left: %s", file)
		}
	}
}

// starts are the lines that kedge wrote when it was started.
func (m *machine) starts(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(m.path("/run/starts"))
	if os.IsNotExist(err) {
		return nil
	}
	must(t, err)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
