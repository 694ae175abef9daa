package classify

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// oneGroup says why this kernel may not know cgroup2 folders of sockets: before
// 5.15 a socket had one cgroup, and that was one of net_cls or net_prio as soon
// as anybody used these. The answer is "" where that is not so.
func oneGroup() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	release, _, _ := bytes.Cut(name.Release[:], []byte{0})
	controllers, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return ""
	}
	return oneGroupOn(string(release), string(controllers))
}

func oneGroupOn(release, controllers string) string {
	major, minor := versionOf(release)
	if major > 5 || major == 5 && minor >= 15 {
		return ""
	}
	for line := range strings.Lines(controllers) {
		// Name, hierarchy (0 for cgroup2), number of cgroups, enabled.
		f := strings.Fields(line)
		if len(f) == 4 && (f[0] == "net_cls" || f[0] == "net_prio") && f[1] != "0" && f[2] != "1" {
			return fmt.Sprintf("containers are told by declared ports: this kernel (%s, before 5.15) gives sockets cgroups of %s, which is in use here; unmount it", release, f[0])
		}
	}
	return ""
}

// versionOf reads "5.10.0-18-amd64". What it cannot read is 0.
func versionOf(release string) (major, minor int) {
	first, rest, _ := strings.Cut(release, ".")
	major, _ = strconv.Atoi(first)
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		rest = rest[:end]
	}
	minor, _ = strconv.Atoi(rest)
	return major, minor
}
