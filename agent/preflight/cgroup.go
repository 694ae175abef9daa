package preflight

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/agent/host"
	"github.com/kedge-io/kedge/internal/finding"
)

// needed are the controllers without which kubelet does not start.
var needed = []string{"cpu", "cpuset", "memory", "pids"}

// cgroups reads the mode, what may be used, and whether it can be handed down. No
// cgroup is made: the tree is the host's.
func (m *machine) cgroups(context.Context) []finding.Finding {
	mode, have := m.probe.Cgroups()
	if mode == host.CgroupMissing {
		return one(finding.Cgroup, finding.Error, "no control groups are mounted")
	}
	s := finding.OK
	if mode != host.CgroupV2 {
		s = finding.Info
	}
	out := one(finding.Cgroup, s, "cgroup %s", mode)
	var missing []string
	for _, c := range needed {
		if !slices.Contains(have, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		out = append(out, finding.New(finding.Controllers, finding.Error, "not available: %s; available: %s", strings.Join(missing, ", "), strings.Join(have, ", ")))
	} else {
		out = append(out, finding.New(finding.Controllers, finding.OK, "%s", strings.Join(have, ", ")))
	}
	if !m.root() {
		return out
	}
	if mode == host.CgroupV2 {
		return append(out, m.delegatedV2())
	}
	return append(out, m.delegatedV1())
}

const cgroupMount = "/sys/fs/cgroup"

// delegatedV2 tells whether kubelet can hand controllers down from the cgroup root:
// it must be writable, and where it is not the root of the whole tree it may not have
// both processes and controllers for its children (cgroups(7), no internal processes).
func (m *machine) delegatedV2() finding.Finding {
	dir := path.Join(cgroupMount, m.cfg.CgroupRoot)
	if !m.there(dir) {
		// kubelet wants it there, or makes it below one that is.
		dir = cgroupMount
	}
	down := dir + "/cgroup.subtree_control"
	if err := m.probe.Writable(down); err != nil {
		return finding.New(finding.Delegation, finding.Error, "%s cannot be written: %v", down, err)
	}
	on := strings.Fields(m.text(down))
	lacks := slices.ContainsFunc(needed, func(c string) bool { return !slices.Contains(on, c) })
	if lacks && m.there(dir+"/cgroup.type") && m.line(dir+"/cgroup.procs") != "" {
		return finding.New(finding.Delegation, finding.Error, "%s has processes and hands down %q only: the kernel refuses more while they are there", dir, strings.Join(on, " "))
	}
	return finding.New(finding.Delegation, finding.OK, "%s can hand controllers down", dir)
}

// delegatedV1 looks at the trees that kubelet uses.
func (m *machine) delegatedV1() finding.Finding {
	for _, c := range needed {
		dir := path.Join(cgroupMount, c)
		if !m.there(dir) {
			continue // mounted elsewhere or together with others
		}
		if err := m.probe.Writable(dir); err != nil {
			return finding.New(finding.Delegation, finding.Error, "%s cannot be written: %v", dir, err)
		}
	}
	return finding.New(finding.Delegation, finding.OK, "cgroups can be made")
}
