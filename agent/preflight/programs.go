package preflight

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/kedge-io/kedge/internal/finding"
)

// nftMajor and the others are the least version of nft that kube-proxy takes
// (sigs.k8s.io/knftables).
const nftMajor, nftMinor, nftPatch = 1, 0, 1

var (
	nftVersion = regexp.MustCompile(`nftables v(\d+)\.(\d+)\.?(\d*)`)
	iptVersion = regexp.MustCompile(`iptables v(\S+)(?: \((\w+)\))?`)
)

// programs looks for what kedge and kubelet call, and asks it for its version.
func (m *machine) programs(ctx context.Context) []finding.Finding {
	var out []finding.Finding
	if m.cfg.Node {
		out = append(out, m.nft(ctx), m.ipt(ctx, "iptables", finding.ProgIPTables, finding.Error))
		if m.there("proc/net/if_inet6") {
			out = append(out, m.ipt(ctx, "ip6tables", finding.ProgIP6, finding.Warning))
		}
		out = append(out, m.mount())
	}
	if m.there("proc/sys/kernel/modprobe") && m.there("proc/modules") {
		out = append(out, m.modprobe())
	}
	return out
}

func (m *machine) nft(ctx context.Context) finding.Finding {
	path, err := m.probe.LookPath("nft")
	if err != nil {
		return finding.New(finding.ProgNFT, finding.Error, "there is no program nft")
	}
	text, err := m.probe.Run(ctx, path, "--version")
	v := nftVersion.FindStringSubmatch(text)
	switch {
	case v == nil && err != nil:
		return finding.New(finding.ProgNFT, finding.Error, "%s does not run: %v: %s", path, err, firstLine(text))
	case v == nil:
		return finding.New(finding.ProgNFT, finding.Info, "%s says %q of its version", path, firstLine(text))
	case older(v[1:], nftMajor, nftMinor, nftPatch):
		return finding.New(finding.ProgNFT, finding.Error, "%s is %s, and at least %d.%d.%d is needed", path, v[0], nftMajor, nftMinor, nftPatch).
			Instead("upgrade the package nftables, or the distribution")
	}
	return finding.New(finding.ProgNFT, finding.OK, "%s", v[0])
}

// older compares numbers as they come out of a regular expression.
func older(have []string, least ...int) bool {
	for i, want := range least {
		n, _ := strconv.Atoi(have[i]) // a missing one is 0
		if n != want {
			return n < want
		}
	}
	return false
}

// ipt looks for one family's programs, all of the same variant.
func (m *machine) ipt(ctx context.Context, name string, id finding.ID, s finding.Severity) finding.Finding {
	versions := map[string]string{}
	for _, suffix := range []string{"", "-save", "-restore"} {
		path, err := m.probe.LookPath(name + suffix)
		if err != nil {
			return finding.New(id, s, "there is no program %s", name+suffix)
		}
		text, err := m.probe.Run(ctx, path, "--version")
		v := iptVersion.FindStringSubmatch(strings.Replace(text, name+suffix, "iptables", 1))
		switch {
		case v == nil && err != nil:
			return finding.New(id, s, "%s does not run: %v: %s", path, err, firstLine(text))
		case v == nil:
			return finding.New(id, finding.Info, "%s says %q of its version", path, firstLine(text))
		case v[2] == "":
			v[2] = "legacy" // there was no other before 1.8
		}
		versions[suffix] = v[1] + " " + v[2]
	}
	for suffix, v := range versions {
		if v != versions[""] {
			return finding.New(id, s, "%s is %s, but %s is %s: they do not see each other's rules", name, versions[""], name+suffix, v).
				Instead("set all of them to the same alternative: update-alternatives --config %s", name)
		}
	}
	return finding.New(id, finding.OK, "%s %s", name, versions[""])
}

func (m *machine) mount() finding.Finding {
	for _, name := range []string{"mount", "umount"} {
		if _, err := m.probe.LookPath(name); err != nil {
			return finding.New(finding.ProgMount, finding.Error, "there is no program %s", name)
		}
	}
	return finding.New(finding.ProgMount, finding.OK, "mount and umount are there")
}

// modprobe is the program that the kernel itself calls (kernel.modprobe); a kernel
// without modules has no use for it.
func (m *machine) modprobe() finding.Finding {
	path := m.line("proc/sys/kernel/modprobe")
	if path != "" && m.there(path) {
		return finding.New(finding.ProgModprobe, finding.OK, "%s is there", path)
	}
	if _, err := m.probe.LookPath("modprobe"); err == nil {
		return finding.New(finding.ProgModprobe, finding.OK, "modprobe is there")
	}
	return finding.New(finding.ProgModprobe, finding.Info, "the kernel would call %q, which is not there", path)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
