package classify

import (
	"strings"
	"testing"
)

func TestSocketsOfOldKernelsHaveOneCgroup(t *testing.T) {
	const head = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t30\t1\n"
	for _, c := range []struct {
		release, controllers string
		told                 bool
	}{
		{"5.10.0-18-amd64", head + "net_cls\t7\t3\t1\n", true},
		{"5.10.0-18-amd64", head + "net_prio\t7\t2\t1\n", true},
		{"5.10.0-18-amd64", head + "net_cls\t7\t1\t1\n", false}, // mounted, but nobody uses it
		{"5.10.0-18-amd64", head + "net_cls\t0\t90\t1\n", false},
		{"5.4.17", head, false},
		{"5.15.0", head + "net_cls\t7\t3\t1\n", false},
		{"6.1.0-rpi7", head + "net_cls\t7\t3\t1\n", false},
	} {
		if why := oneGroupOn(c.release, c.controllers); (why != "") != c.told || c.told && !strings.Contains(why, c.release) {
			t.Errorf("%s: %q", c.release, why)
		}
	}
}
