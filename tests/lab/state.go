package lab

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// State is what a host has that a program may leave behind: one line per thing, by kind.
type State map[string][]string

// kinds are commands whose output, sorted by line, is a kind of state. They print names and
// never counters or ages.
var kinds = map[string]string{
	"link":              "ls /sys/class/net",
	"address":           "ip -o address show scope global | awk '{print $2, $3, $4}'",
	"loopback address":  "ip -o address show dev lo | awk '{print $2, $3, $4}'",
	"route":             "ip route show table all | grep -v '^\\(local\\|broadcast\\|multicast\\|anycast\\)'",
	"rule":              "ip rule show",
	"queueing":          "tc qdisc show",
	"mount":             "awk '{print $2, $3}' /proc/1/mounts",
	"network namespace": "ls /run/netns /var/run/netns 2>/dev/null",
	"nft":               "nft -s list ruleset",
	"iptables":          "iptables -S; iptables -t nat -S; iptables -t mangle -S; ip6tables -S",
	"process":           "for p in /proc/[0-9]*; do test $p = /proc/1 || test $p = /proc/$$ || tr '\\0' ' ' < $p/cmdline | cut -c 1-120 | grep -v '^\\(tr\\|cut\\|grep\\|sh\\) '; done",
	// mount(8) and iptables keep /run/mount and the lock.
	"run file": "find /run -mindepth 1 -maxdepth 1 ! -name xtables.lock ! -name lock ! -name mount",
	"file":     "find /etc/cni /etc/kedge /opt/cni /var/lib/cni /var/lib/kubelet /var/log/pods /var/log/containers /usr/libexec/kubernetes /var/lib/containerd -mindepth 1 2>/dev/null",
}

// State looks at the host.
func (h *Host) State(ctx context.Context) (State, error) {
	s := State{}
	for kind, script := range kinds {
		out, errOut, err := h.Run(ctx, "sh", "-c", script)
		// A listing that finds nothing may end with 1; what cannot be looked at says so.
		if err != nil && out == "" && errOut != "" {
			return nil, fmt.Errorf("state of %s: %s: %w: %s", h.Name(), kind, err, errOut)
		}
		s[kind] = slices.Sorted(strings.Lines(out))
	}
	for _, dir := range cgroupsNamed(strings.TrimPrefix(h.CgroupRoot(), "/")) {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				s["cgroup"] = append(s["cgroup"], path+"\n")
			}
			return nil
		})
	}
	return s, nil
}

// New lists what is in s and was not in before, each line with its kind.
func (s State) New(before State) []string {
	var found []string
	for kind, lines := range s {
		rest := slices.Clone(before[kind])
		for _, line := range lines {
			if i := slices.Index(rest, line); i >= 0 {
				rest = slices.Delete(rest, i, i+1)
				continue
			}
			found = append(found, kind+": "+strings.TrimSpace(line))
		}
	}
	slices.Sort(found)
	return found
}

// Exists tells whether the host has something at path.
func (h *Host) Exists(path string) bool {
	_, err := os.Lstat(h.Path(path))
	return err == nil
}
