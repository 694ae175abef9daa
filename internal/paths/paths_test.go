package paths

import (
	"strings"
	"testing"
)

func TestDefaultLayoutUsesTheFamiliarPlaces(t *testing.T) {
	l := New("")
	if l.DataDir != "/var/lib/kedge" || l.RunDir != "/run/kedge" || l.PodLogs() != "/var/log/pods" {
		t.Fatalf("unexpected default layout %+v, pod logs %s", l, l.PodLogs())
	}
	if got := New("/var/lib/kedge/"); got != l {
		t.Fatalf("a trailing slash changed the layout: %+v", got)
	}
}

func TestEachDataDirHasItsOwnRunDir(t *testing.T) {
	a, b := New("/srv/a"), New("/srv/b")
	if a.RunDir == b.RunDir || a.RunDir == New("").RunDir {
		t.Fatalf("run directories collide: %s %s", a.RunDir, b.RunDir)
	}
	if New("/srv/a") != a {
		t.Fatal("the layout of a directory is not stable")
	}
	// A socket address holds 108 bytes; containerd appends little to ours.
	if n := len(a.ContainerdSocket()); n > 80 {
		t.Fatalf("socket path of %d bytes", n)
	}
	if !strings.HasPrefix(a.PodLogs(), "/srv/a/") {
		t.Fatalf("pod logs of a second node lie at %s", a.PodLogs())
	}
}
