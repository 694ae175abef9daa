package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
)

// planted are secrets of every kind; none may be in a bundle.
var planted = map[string]string{
	"join token":           "qwertyuiopasdfghjklzxcvbnm",
	"recovery token":       "recover0planted0word0of0this0cluster",
	"datastore password":   "pl4nted-datastore-password",
	"proxy password":       "pl4nted-proxy-password",
	"environment":          "pl4nted-environment-token",
	"S3 secret":            "pl4nted+s3/secret",
	"registry password":    "pl4nted-registry-password",
	"registry token":       "pl4nted-identity-token",
	"token of a service":   "pl4nted-service-token",
	"S3 key of a service":  "pl4nted-service-s3",
	"S3 access key file":   "pl4ntedAccessKey",
	"S3 secret key file":   "pl4nted/secret+key",
	"key of a service":     "pl4nted-key-in-its-file",
	"key in its arguments": "pl4nted-key-of-an-argument",
	"proxy key":            "706c346e7465642d6b6579",
	"header of a registry": "cGw0bnRlZC1oZWFkZXI",
	"former password":      "pl4nted-former-password",
	"auth of a registry":   "pl4nted-auth-password",
	"encryption key":       "cGw0bnRlZC1lbmNyeXB0aW9uLWtleS0wMDAwMDA=",
	"kubeconfig token":     "pl4nted-kubeconfig-token",
	"variable of a pod":    "pl4nted-pod-variable",
	"argument of a pod":    "pl4nted-pod-argument",
	"annotation of a pod":  "pl4nted-annotation",
	"data of a secret":     "pl4nted-secret-data",
	"termination message":  "pl4nted-in-a-message",
	"argument of a flag":   "pl4nted-kubelet-flag",
	"token of a container": "eyJhbGciOiJSUzI1NiIsImtpZCI6Ing.eyJpc3MiOiJwbDRudGVkIn0.c2lnbmF0dXJl",
}

// put writes a file of a host.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hostWithSecrets is a server's data directory with all that is secret in it, in
// its files and in its logs. It returns the lines of private keys, too.
func hostWithSecrets(t *testing.T, api string) (dir string, keys []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "kedge")
	layout := paths.New(dir)
	t.Cleanup(func() { _ = os.RemoveAll(layout.RunDir) })
	for _, name := range []string{filepath.Join(layout.ServerTLS(), "server-ca.key"), filepath.Join(layout.AgentTLS(), "device.key")} {
		put(t, name, "")
		_ = os.Remove(name)
		if _, _, err := pki.EnsureKey(name); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, strings.Split(string(text), "\n")[1])
	}
	pin := strings.Repeat("ab", 32)
	put(t, layout.RecoveryToken(), "K1"+pin+"::recovery."+planted["recovery token"]+"\n")
	put(t, filepath.Join(layout.ServerCred(), "encryption.json"), `{"providers":[{"secretbox":{"keys":[{"name":"key1","secret":"`+planted["encryption key"]+`"}]}}]}`)
	kubeconfig := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: k, cluster: {server: %q}}]\nusers: [{name: u, user: {token: %s}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\ncurrent-context: c\n", api, planted["kubeconfig token"])
	put(t, filepath.Join(layout.ServerCred(), "admin.kubeconfig"), kubeconfig)
	registries := filepath.Join(dir, "registries.yaml")
	put(t, registries, "configs:\n  r.example:\n    auth:\n      username: anna\n      password: "+planted["registry password"]+"\n      identity_token: "+planted["registry token"]+"\n")
	plantService(t, dir, layout)
	log := "level=INFO msg=starting\n"
	for what, secret := range planted {
		log += "level=WARN msg=\"said aloud: " + what + "\" value=" + secret + " base64=" + base64.StdEncoding.EncodeToString([]byte(secret)) + "\n"
	}
	for _, k := range keys {
		log += "-----BEGIN EC PRIVATE KEY-----\n" + k + "\n-----END EC PRIVATE KEY-----\nalone " + k + "\n"
	}
	put(t, filepath.Join(layout.Logs(), "containerd.log"), log+"level=INFO msg=\"the last line\"\n")
	t.Setenv("KEDGE_TOKEN", "") // no flag of a server
	t.Setenv("APP_TOKEN", planted["environment"])
	t.Setenv("HTTPS_PROXY", "http://anna:"+planted["proxy password"]+"@127.0.0.1:1")
	t.Setenv("NO_PROXY", "127.0.0.1")
	config := filepath.Join(dir, "etc", "config.yaml")
	t.Setenv("KEDGE_CONFIG", config)
	put(t, config, strings.Join([]string{
		"data-dir: " + dir, "snapshot-s3-access-key-file: " + filepath.Join(dir, "s3-access"), "snapshot-s3-secret-key-file: " + filepath.Join(dir, "s3-secret"), "private-registry: " + registries,
		"datastore-endpoint: postgres://kedge:" + planted["datastore password"] + "@db.example/kedge",
		"snapshot-s3-secret-key: " + planted["S3 secret"], "kubelet-arg: [\"some-password=" + planted["argument of a flag"] + "\"]",
	}, "\n")+"\n")
	return dir, keys
}

// plantService writes what a service is started with and what it asks registries
// with.
func plantService(t *testing.T, dir string, layout paths.Layout) {
	t.Helper()
	for name, what := range map[string]string{"s3-access": "S3 access key file", "s3-secret": "S3 secret key file", "s3-service": "key of a service", "s3-argument": "key in its arguments"} {
		put(t, filepath.Join(dir, name), planted[what]+"\n")
	}
	put(t, filepath.Join(dir, "etc", "kedge-two.env"), strings.Join([]string{
		"KEDGE_INSTALL_EXEC='server --snapshot-s3-access-key-file \"" + filepath.Join(dir, "s3-argument") + "\" --snapshot-s3'",
		"KEDGE_TOKEN='" + planted["token of a service"] + "'", "KEDGE_SNAPSHOT_S3_SECRET_KEY='" + planted["S3 key of a service"] + "'",
		"KEDGE_SNAPSHOT_S3_ACCESS_KEY_FILE='" + filepath.Join(dir, "s3-service") + "'",
	}, "\n")+"\n")
	auth := base64.StdEncoding.EncodeToString([]byte("anna:" + planted["auth of a registry"]))
	put(t, layout.RegistriesLastGood(), "configs:\n  r.example: {auth: {username: anna, password: "+planted["former password"]+"}}\n  s.example: {auth: {auth: "+auth+"}}\n")
	put(t, filepath.Join(layout.RegistryHosts(), "r.example", "hosts.toml"), "# Written\nserver = \"https://r.example\"\n\n[host.\"http://127.0.0.1:1/x/v2\"]\ncapabilities = [\"pull\"]\n"+
		"[host.\"http://127.0.0.1:1/x/v2\".header]\n\"X-Kedge-Key\" = \""+planted["proxy key"]+"\"\nAuthorization = [\"Bearer "+planted["header of a registry"]+"\"]\n")
}

// fakeAPI answers every list with a pod that has secrets wherever it can.
func fakeAPI(t *testing.T) string {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "secrets") || strings.Contains(r.URL.Path, "configmaps") {
			t.Errorf("%s was asked for", r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"items":[{"metadata":{"name":"shop","annotations":{"example.org/note":%q}},"data":{"k":%q},
			"spec":{"nodeName":"edge-1","containers":[{"name":"c","image":"i","env":[{"name":"DB_PASSWORD","value":%q}],"args":["--password",%q]}]},
			"status":{"containerStatuses":[{"state":{"terminated":{"message":"password=%s %s"}}}]}}]}`,
			planted["annotation of a pod"], planted["data of a secret"], planted["variable of a pod"], planted["argument of a pod"], planted["termination message"], planted["token of a container"])
	}))
	t.Cleanup(api.Close)
	return api.URL
}

// untar are the files of a bundle.
func untar(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for files := tar.NewReader(gz); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		out[name] = string(text)
	}
}

// unlearned are planted values that no file of this host has: they are told by their
// shape or are not collected, so a log line of somebody's own could have them.
var unlearned = []string{"join token", "variable of a pod", "argument of a pod", "annotation of a pod", "data of a secret", "termination message", "argument of a flag"}

func TestSupportBundleHasNoSecrets(t *testing.T) {
	dir, keys := hostWithSecrets(t, fakeAPI(t))
	log := filepath.Join(paths.New(dir).Logs(), "containerd.log")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	clean := string(text)
	for _, what := range unlearned {
		clean = strings.ReplaceAll(clean, "value="+planted[what]+" base64="+base64.StdEncoding.EncodeToString([]byte(planted[what])), "password="+planted[what])
	}
	put(t, log, clean+"joined with K1"+strings.Repeat("ab", 32)+"::abc123."+planted["join token"]+"\nlast line\n")
	layout := paths.New(dir)
	server, err := health.Listen(layout.StatusSocket(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	go func() {
		_ = server.Serve(t.Context(), func() health.Report {
			return health.Report{Role: "server", Node: "edge-1", DataDir: dir, Components: []lifecycle.Status{{Name: "datastore", State: lifecycle.StateReady, LastError: "dial postgres://kedge:" + planted["datastore password"] + "@db.example"}}}
		})
	}()

	out := filepath.Join(t.TempDir(), "bundle.tar.gz")
	stdout, stderr, code := execute(t, "support-bundle", "--role", "server", "-o", out)
	if code != exitOK || stdout != "" || !strings.Contains(stderr, "written: "+out) {
		t.Fatalf("code %d, %q, %q", code, stdout, stderr)
	}
	files := untar(t, out)
	for _, want := range []struct{ file, text string }{
		{"doctor.json", `"node.daemon"`}, {"config.txt", "datastore-endpoint"}, {"status.json", "edge-1"}, {"api/pods.json", "edge-1"},
		{"kernel/links.txt", "1 lo "}, {"contents.json", `"missing"`}, {"kernel/disk.txt", "recovery-token"}, {"version.json", "{"},
	} {
		if !strings.Contains(files[want.file], want.text) {
			t.Errorf("%s lacks %q: %.300s", want.file, want.text, files[want.file])
		}
	}
	logs := ""
	for name, text := range files {
		if strings.HasPrefix(name, "logs/") {
			logs += text
		}
		for what, secret := range planted {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("%s has the %s: %.120q", name, what, text[max(at-60, 0):])
				}
			}
		}
		for _, k := range keys {
			if strings.Contains(text, k) || strings.Contains(text, k[:32]) {
				t.Errorf("%s has a private key", name)
			}
		}
	}
	if !strings.Contains(logs, "last line") || !strings.Contains(logs, "abc123") {
		t.Errorf("the log is not there: %.500s", logs)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 || info.Size() > 8<<20 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if _, stderr, code := execute(t, "support-bundle", "--role", "server", "-o", out); code != exitFailure || !strings.Contains(stderr, "-o") {
		t.Errorf("a file that exists: code %d, %q", code, stderr)
	}
}

func TestEndOfALogBeginsWithAWholeLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	put(t, path, "begin token="+strings.Repeat("s", maxLogTail-10)+"\nlast line\n")
	if text, err := tail(path); err != nil || text != "last line\n" {
		t.Errorf("%d bytes, %.40q: %v", len(text), text, err)
	}
	put(t, path, "all of it")
	if text, err := tail(path); err != nil || text != "all of it" {
		t.Errorf("%q: %v", text, err)
	}
}

func TestCheckSaysWhatIsWrongWithOptions(t *testing.T) {
	emptyConfig(t, "")
	for _, c := range []struct {
		args []string
		text string
	}{
		{[]string{"check", "server"}, "--role"},
		{[]string{"check", "--role", "boss"}, "expected server or agent"},
		{[]string{"check", "--role", "server", "--", "--cluster-cidr", "x"}, "cluster-cidr"},
		{[]string{"doctor", "--", "--no-such-flag"}, "unknown flag"},
	} {
		if _, stderr, code := execute(t, c.args...); code != exitUsage || !strings.Contains(stderr, c.text) {
			t.Errorf("%v: code %d, %q", c.args, code, stderr)
		}
	}
}

func TestDoctorSaysThatNoDaemonRuns(t *testing.T) {
	emptyConfig(t, "data-dir: "+t.TempDir()+"\n")
	stdout, _, code := execute(t, "doctor", "--json", "--role", "server")
	if code != exitFailure || !strings.Contains(stdout, `"node.daemon"`) || !strings.Contains(stdout, `"severity": "error"`) {
		t.Errorf("code %d: %s", code, stdout)
	}
}
