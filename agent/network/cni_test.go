//go:build namespace

package network

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	types "github.com/containernetworking/cni/pkg/types/100"
)

// pluginSource is the program of the runtime bundle that holds the CNI plugins.
const pluginSource = "../../scripts/bundle/cni"

// plugins builds the CNI plugins that the runtime bundle carries.
func plugins(t *testing.T) string {
	t.Helper()
	if generated, _ := filepath.Glob(pluginSource + "/bridge/*.go"); len(generated) == 0 {
		t.Skip("missing: the sources of the CNI plugins, which \"make generate\" writes")
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-C", pluginSource, "-o", filepath.Join(dir, "cni"), ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the CNI plugins: %v: %s", err, out)
	}
	for _, name := range []string{"bridge", "host-local", "portmap"} {
		check(t, os.Symlink("cni", filepath.Join(dir, name)))
	}
	return dir
}

func TestWrittenConfigurationWorksWithTheRealPlugins(t *testing.T) {
	bin := plugins(t)
	s := newSite(t)
	s.a.Run("nft 'table inet foreign { chain c { }; }'")
	before := s.a.state()
	s.a.apply(factsA())
	list, err := libcni.ConfListFromFile(filepath.Join(s.a.cfg.ConfDir, conflistName))
	if err != nil {
		t.Fatal(err)
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{bin}, filepath.Join(s.a.cfg.StateDir, "cache"), nil)
	add := func(id string, mappings ...map[string]any) (*host, string) {
		pod, addr := newHost(t), ""
		s.a.Do(func() {
			result, err := cni.AddNetworkList(context.Background(), list, runtimeConf(id, pod, mappings))
			if err != nil {
				t.Errorf("adding pod %s: %v", id, err)
				return
			}
			text, _ := json.Marshal(result)
			var r types.Result
			check(t, json.Unmarshal(text, &r))
			addr = r.IPs[0].Address.IP.String()
		})
		if t.Failed() {
			t.FailNow()
		}
		pod.answer(":80")
		return pod, addr
	}
	pod1, addr1 := add("one", map[string]any{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"})
	pod2, addr2 := add("two")
	s.outside.answer(":80")

	want(t, "outside to host port", s.outside.ask("192.0.2.1:8080"), "192.0.2.254")
	want(t, "host to its host port", s.a.ask("192.0.2.1:8080"), "192.0.2.1")
	want(t, "host to its host port on loopback", s.a.ask("127.0.0.1:8080"), "10.42.0.1")
	want(t, "pod to host port of another pod", pod2.ask("192.0.2.1:8080"), addr2)
	want(t, "pod to its own host port", pod1.ask("192.0.2.1:8080"), "10.42.0.1")
	want(t, "pod to pod", pod1.ask(addr2+":80"), addr1)
	want(t, "pod to outside", pod1.ask("192.0.2.254:80"), "192.0.2.1")

	adopted := s.a.state()
	s.a.k = kernel{}
	s.a.apply(factsA())
	want(t, "state after adoption with pods", s.a.state(), adopted)
	want(t, "host port after adoption", s.outside.ask("192.0.2.1:8080"), "192.0.2.254")

	s.a.Do(func() { check(t, cni.DelNetworkList(context.Background(), list, runtimeConf("two", pod2, nil))) })
	s.a.removeAll()
	want(t, "state after removal", s.a.state(), before)
	if links := pod1.Run("ip -o link"); strings.Contains(links, "eth0") {
		t.Errorf("the pod's link is still there:\n%s", links)
	}
}

func runtimeConf(id string, pod *host, mappings []map[string]any) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: id, IfName: "eth0",
		NetNS:          fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(pod.NS)),
		CapabilityArgs: map[string]any{"portMappings": mappings},
	}
}
