package preflight

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/kedge-io/kedge/internal/finding"
)

// The releases that kube-proxy (pkg/proxy/nftables/supported.go) and kubelet ask
// for.
const (
	proxyMajor, proxyMinor = 5, 13
)

// kernelBasics are what the kernel and the container around kedge say of
// themselves.
func (m *machine) kernelBasics(context.Context) []finding.Finding {
	out := m.user()
	release := m.line("proc/sys/kernel/osrelease")
	out = append(out, judgeRelease(release))
	if !m.cfg.Node {
		return out
	}
	kmsg := finding.New(finding.Kmsg, finding.OK, "/dev/kmsg is there")
	if !m.there("dev/kmsg") {
		kmsg = finding.New(finding.Kmsg, finding.Error, "there is no /dev/kmsg")
	}
	out = append(out, kmsg, judgePropagation(m.text("proc/self/mountinfo")))
	if m.line("sys/fs/selinux/enforce") == "1" {
		out = append(out, finding.New(finding.SELinux, finding.Warning, "SELinux is enforcing"))
	}
	if m.there("proc/self/status") && !strings.Contains(m.text("proc/self/status"), "\nSeccomp:") {
		out = append(out, finding.New(finding.Seccomp, finding.Warning, "the kernel has no seccomp"))
	}
	return append(out, m.sysctl())
}

func (m *machine) user() []finding.Finding {
	if !m.root() {
		return one(finding.Root, finding.Error, "user id %d: this is not root, and the kernel could not be tried out", m.probe.UID)
	}
	return one(finding.Root, finding.OK, "root")
}

func (m *machine) sysctl() finding.Finding {
	const forward = "proc/sys/net/ipv4/ip_forward"
	err := m.probe.Writable("/" + forward)
	switch {
	case err == nil || !m.root():
		return finding.New(finding.Sysctl, finding.OK, "kernel settings can be changed")
	case m.line(forward) == "1":
		return finding.New(finding.Sysctl, finding.Info, "kernel settings cannot be changed (%v); net.ipv4.ip_forward is 1", err)
	}
	return finding.New(finding.Sysctl, finding.Error, "kernel settings cannot be changed (%v), and net.ipv4.ip_forward is %q", err, m.line(forward))
}

// judgeRelease compares a release such as 6.1.0-18-amd64.
func judgeRelease(release string) finding.Finding {
	major, minor, ok := parseRelease(release)
	switch {
	case !ok:
		return finding.New(finding.Kernel, finding.Info, "the kernel's release %q could not be read", release)
	case major < proxyMajor || major == proxyMajor && minor < proxyMinor:
		return finding.New(finding.Kernel, finding.Error, "Linux %s is older than %d.%d", release, proxyMajor, proxyMinor)
	}
	return finding.New(finding.Kernel, finding.OK, "Linux %s", release)
}

func parseRelease(release string) (major, minor int, ok bool) {
	words := strings.SplitN(release, ".", 3)
	if len(words) < 2 {
		return 0, 0, false
	}
	major, err := strconv.Atoi(words[0])
	if err != nil {
		return 0, 0, false
	}
	digits := strings.IndexFunc(words[1]+" ", func(r rune) bool { return r < '0' || r > '9' })
	minor, err = strconv.Atoi(words[1][:digits])
	return major, minor, err == nil
}

// judgePropagation reads whether the root mount is shared (proc_pid_mountinfo(5):
// optional fields end with a dash).
func judgePropagation(mountinfo string) finding.Finding {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 7 || fields[4] != "/" {
			continue
		}
		for _, word := range fields[6:] {
			if word == "-" {
				break
			}
			if strings.HasPrefix(word, "shared:") {
				return finding.New(finding.Propagation, finding.OK, "the root mount is shared")
			}
		}
		return finding.New(finding.Propagation, finding.Info, "the root mount is private")
	}
	return finding.New(finding.Propagation, finding.Info, "the root mount is not in /proc/self/mountinfo")
}

// limits are those that many pods run into.
func (m *machine) limits(context.Context) []finding.Finding {
	const instances, watches, files = 256, 8192, 65536
	have := func(name string) int {
		n, _ := strconv.Atoi(m.line("proc/sys/fs/inotify/" + name))
		return n
	}
	i, w := have("max_user_instances"), have("max_user_watches")
	out := one(finding.Inotify, grade(i < instances || w < watches, finding.Warning), "%d inotify instances and %d watches for each user", i, w)
	if err := m.inotify(); errors.Is(err, syscall.EMFILE) {
		out = one(finding.Inotify, finding.Warning, "all %d inotify instances of this user are in use now: containerd and kubelet would not start", i)
	}
	n := m.nofile()
	privileged := hasCapability(m.text("proc/self/status"), capSysResource)
	out = append(out, finding.New(finding.OpenFiles, grade(n < files && !privileged, finding.Warning), "%d files may be open in this session", n))
	if m.root() && !privileged {
		out = append(out, finding.New(finding.OOMScore, finding.Info, "CAP_SYS_RESOURCE is missing"))
	}
	return out
}

// The bits of capabilities(7).
const capSysResource = 24

// hasCapability looks a bit of CapEff in /proc/PID/status up.
func hasCapability(status string, bit int) bool {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			var set uint64
			_, err := fmt.Sscanf(strings.TrimSpace(hex), "%x", &set)
			return err == nil && set&(1<<bit) != 0
		}
	}
	return false
}
