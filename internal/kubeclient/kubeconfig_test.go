package kubeclient

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKubeconfigIsReadBackWithProtobufAndRates(t *testing.T) {
	dir := t.TempDir()
	path, ca := filepath.Join(dir, "k"), filepath.Join(dir, "ca")
	if err := os.WriteFile(ca, []byte("ca"), 0o644); err != nil {
		t.Fatal(err)
	}
	k := Kubeconfig{Server: "https://127.0.0.1:6443", User: "admin", CAFile: ca, CertData: []byte("c"), KeyData: []byte("k")}
	for i, want := range []bool{true, false} {
		if wrote, err := k.Write(path, 0o600); err != nil || wrote != want {
			t.Fatalf("write %d: %v, %v", i, wrote, err)
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st, err)
	}
	config, err := FromFile(path, "kedge/test")
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != k.Server || config.CAFile != ca || string(config.CertData) != "c" || string(config.KeyData) != "k" {
		t.Errorf("got %+v", config)
	}
	if config.QPS != QPS || config.UserAgent != "kedge/test" || !strings.HasPrefix(config.AcceptContentTypes, protobufType) {
		t.Errorf("settings: %v %v %v", config.QPS, config.UserAgent, config.AcceptContentTypes)
	}
}

func TestKubeconfigNeedsEachPartOnce(t *testing.T) {
	_, err := Kubeconfig{Server: "https://x", User: "u", CAFile: "/a", CAData: []byte("a"), CertFile: "/c"}.Write("/nowhere", 0o600)
	if err == nil || !strings.Contains(err.Error(), "authority") || !strings.Contains(err.Error(), "key") || strings.Contains(err.Error(), "certificate either") {
		t.Fatal(err)
	}
}

func TestMissingKubeconfigNamesTheFile(t *testing.T) {
	if _, err := FromFile("/does/not/exist", ""); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Fatal(err)
	}
}
