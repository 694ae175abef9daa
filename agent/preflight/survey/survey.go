package survey

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Part is one text.
type Part struct {
	Name string
	Read func(ctx context.Context) (string, error)
}

// Parts are all there are, in the order of a bundle. dataDir is listed with names,
// sizes and modes.
func Parts(dataDir string) []Part {
	return []Part{
		{"links.txt", links}, {"routes.txt", routes}, {"rules.txt", rules}, {"neighbours.txt", neighbours},
		{"queues.txt", queues}, {"ipsets.txt", sets},
		{"nft.txt", program("nft", "list", "ruleset")},
		{"iptables.txt", filters("iptables")}, {"ip6tables.txt", filters("ip6tables")},
		{"sockets.txt", files("/proc/net/sockstat", "/proc/net/sockstat6", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp")},
		{"host.txt", files("/proc/version", "/proc/cmdline", "/etc/os-release", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/swaps",
			"/proc/pressure/cpu", "/proc/pressure/memory", "/proc/pressure/io", "/proc/modules", "/proc/cgroups", "/proc/self/cgroup",
			"/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/cgroup.subtree_control", "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")},
		{"mounts.txt", files("/proc/self/mountinfo")},
		{"settings.txt", settings},
		{"disk.txt", func(context.Context) (string, error) { return disk(dataDir) }},
		{"kernel-log.txt", func(context.Context) (string, error) { return kernelLog() }},
	}
}

// program is what a program of the host prints.
func program(name string, args ...string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", err
		}
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.Stdout, cmd.Stderr = &out, &out
		err = cmd.Run()
		return out.String(), err
	}
}

// filters are both variants of iptables. The legacy one is asked only for tables that
// the kernel has: asking makes them.
func filters(name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var out strings.Builder
		text, err := program(name+"-nft-save", "-c")(ctx)
		if err != nil {
			text, err = program(name+"-save", "-c")(ctx)
		}
		out.WriteString(text)
		family := strings.TrimSuffix(name, "tables")
		names, _ := os.ReadFile("/proc/self/net/" + family + "_tables_names") // without the file there are none
		for _, table := range strings.Fields(string(names)) {
			text, legacy := program(name+"-legacy-save", "-c", "-t", table)(ctx)
			fmt.Fprintf(&out, "# legacy table %s (%v)\n%s", table, legacy, text)
		}
		return out.String(), err
	}
}

// files are the texts of files, with their names.
func files(names ...string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		var out strings.Builder
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				fmt.Fprintf(&out, "== %v\n", err)
				continue
			}
			fmt.Fprintf(&out, "== %s\n%s\n", name, text)
		}
		return out.String(), nil
	}
}

// settings are those of the kernel that matter to a node.
func settings(context.Context) (string, error) {
	var out strings.Builder
	for _, pattern := range []string{
		"net/ipv4/ip_forward", "net/ipv4/conf/*/rp_filter", "net/ipv4/conf/*/forwarding", "net/ipv6/conf/*/disable_ipv6", "net/ipv6/conf/*/forwarding",
		"net/bridge/*", "net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_count", "net/core/default_qdisc", "net/ipv4/tcp_congestion_control",
		"net/ipv4/ip_local_port_range", "fs/inotify/*", "fs/file-nr", "kernel/pid_max", "kernel/modprobe", "kernel/osrelease", "kernel/tainted", "vm/overcommit_memory", "vm/panic_on_oom", "vm/swappiness",
	} {
		found, _ := filepath.Glob("/proc/sys/" + pattern) // the patterns are ours
		for _, path := range found {
			text, err := os.ReadFile(path)
			if err == nil {
				fmt.Fprintf(&out, "%s = %s\n", strings.TrimPrefix(path, "/proc/sys/"), strings.TrimSpace(string(text)))
			}
		}
	}
	return out.String(), nil
}

const (
	// mostFiles and deepest bound the list of the data directory.
	mostFiles, deepest = 5000, 5
	// kernelLogSize is how much of the kernel's log is read, in bytes.
	kernelLogSize = 1 << 20
)

// skipped are folders of the data directory whose files are pods' and images'.
var skipped = []string{"agent/containerd", "agent/kubelet/pods", "agent/pod-logs"}

// disk is the file system of the data directory and a list of what is in it.
func disk(dir string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", fmt.Errorf("ask the file system of %s: %w", dir, err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s: type %#x, block %d, blocks %d, free %d, inodes %d, free %d, flags %#x\n\n", dir, st.Type, st.Bsize, st.Blocks, st.Bavail, st.Files, st.Ffree, st.Flags)
	left := mostFiles
	err := walk(dir, "", &out, &left)
	return out.String(), err
}

func walk(root, below string, out *strings.Builder, left *int) error {
	entries, err := os.ReadDir(filepath.Join(root, below))
	for _, e := range entries {
		if *left--; *left < 0 {
			out.WriteString("(and more)\n")
			return nil
		}
		name := filepath.Join(below, e.Name())
		info, err := e.Info()
		if err != nil {
			continue // it went away
		}
		fmt.Fprintf(out, "%s %12d %s %s\n", info.Mode(), info.Size(), info.ModTime().UTC().Format("2006-01-02T15:04:05Z"), name)
		if e.IsDir() && strings.Count(name, "/") < deepest && !slices.Contains(skipped, name) {
			if err := walk(root, name, out, left); err != nil {
				return err
			}
		}
	}
	return err
}

// kernelLog is the end of the kernel's log (syslog(2)).
func kernelLog() (string, error) {
	buf := make([]byte, kernelLogSize)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil {
		return "", fmt.Errorf("read the kernel's log: %w", err)
	}
	return string(buf[:n]), nil
}
