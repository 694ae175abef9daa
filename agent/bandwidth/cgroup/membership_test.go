package cgroup

import (
	"maps"
	"testing"

	"github.com/kedge-io/kedge/internal/paths"
)

func TestMembershipIsReadFromAnyKindOfHost(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want membership
	}{
		"cgroup v2": {"0::/kubepods.slice/a.scope\n", membership{"": "/kubepods.slice/a.scope"}},
		"hybrid": {"12:pids:/kubepods/a\n4:cpu,cpuacct:/kubepods/a\n1:name=systemd:/x\n0::/kubepods/a\n",
			membership{"pids": "/kubepods/a", "cpu,cpuacct": "/kubepods/a", "name=systemd": "/x", "": "/kubepods/a"}},
		"path with a colon":      {"0::/a:b:c\n", membership{"": "/a:b:c"}},
		"outside of our part":    {"0::/../../x\n2:pids:/a\n", membership{"pids": "/a"}},
		"nothing understood":     {"what\n", membership{}},
		"no line break, v1 only": {"3:pids:/a", membership{"pids": "/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseMembership(c.text); !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestTheFolderOfAContainerEndsWhereItsNameIs(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/kubepods/besteffort/pod1/c0ffee", "/kubepods/besteffort/pod1/c0ffee"},
		{"/kubepods.slice/kubepods-pod1.slice/cri-containerd-c0ffee.scope", "/kubepods.slice/kubepods-pod1.slice/cri-containerd-c0ffee.scope"},
		{"/kubepods/pod1/c0ffee/init.scope", "/kubepods/pod1/c0ffee"},
		{"/kedge/c0ffee", "/kedge/c0ffee"},
		{"/system.slice/kedge.service", ""},
		{"/", ""},
		{"", ""},
	} {
		if got, ok := ownFolder(c.path, "c0ffee"); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: got %q, %v, want %q", c.path, got, ok, c.want)
		}
	}
	if _, ok := ownFolder("/a", ""); ok {
		t.Error("a container without a name has a folder")
	}
}

func TestNamesOfLegacyHierarchiesAreThoseOfProc(t *testing.T) {
	for options, want := range map[string]string{
		"rw,pids": "pids", "rw,cpu,cpuacct": "cpu,cpuacct", "rw,xattr,name=systemd": "name=systemd",
		"rw,xattr,release_agent=/x,name=systemd": "name=systemd", "rw,cpuset,noprefix,release_agent=/sbin/x": "cpuset",
	} {
		if got := legacyName(options); got != want {
			t.Errorf("%s: got %q, want %q", options, got, want)
		}
	}
}

func TestNodesOfOneHostHaveDifferentFolders(t *testing.T) {
	seen := map[string]bool{}
	for _, dir := range []string{"", "/srv/a", "/srv/b"} {
		for _, root := range []string{"", "/lab/one", "/lab/two"} {
			parent := NewConfig(paths.New(dir), root).parent()
			if seen[parent] {
				t.Errorf("two nodes share %s", parent)
			}
			seen[parent] = true
		}
	}
	if got := NewConfig(paths.New(""), "").parent(); got != "/kedge" {
		t.Errorf("folder of the only node: %s", got)
	}
}
