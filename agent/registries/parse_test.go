package registries

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

func full(t *testing.T) Settings {
	t.Helper()
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse("testdata/full.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFormatOfK3sIsUnderstood(t *testing.T) {
	s := full(t)
	m := s.Mirrors["docker.io"]
	if len(m.Endpoints) != 2 || m.Endpoints[1].String() != "http://10.0.0.5:5001/hub/v2" || len(m.Rewrites) != 1 {
		t.Errorf("mirror %+v", m)
	}
	h := s.Hosts["mirror.site:5000"]
	if h.Auth.Username != "node" || h.Auth.Password != "hunter2" || h.TLS.KeyFile != "/etc/ssl/node.key" {
		t.Errorf("host %v", h)
	}
	if a := s.Hosts["registry-1.docker.io"].Auth; a.Username != "node" || a.Password != "hunter3" {
		t.Errorf("pair %v", a)
	}
	if s.Hosts["token.site"].Auth.IdentityToken != "hunter4" || !s.Hosts["*"].TLS.Insecure {
		t.Errorf("hosts %v", s.Hosts)
	}
}

func TestMistakesNameLineAndNearestKey(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nearest key":          {"mirors:\n  a: {}\n", `f:1: the file: unknown key "mirors", did you mean "mirrors"?`},
		"nearest field":        {"mirrors:\n  docker.io:\n    endpoints: [https://a]\n", `f:3: mirrors: "docker.io": unknown key "endpoints", did you mean "endpoint"?`},
		"tls key":              {"configs:\n  a:\n    tls:\n      ca: /x\n", `f:4: configs: "a": tls: unknown key "ca"`},
		"URL as name":          {"mirrors:\n  https://docker.io: {}\n", `write "docker.io"`},
		"path as name":         {"mirrors:\n  ../x: {}\n", "is not the name of a registry"},
		"other name of docker": {"mirrors:\n  index.docker.io: {}\n", "docker.io: write that"},
		"no list":              {"mirrors:\n  a:\n    endpoint: https://b\n", `f:3: mirrors: "a": endpoint: expected a list`},
		"scheme":               {"mirrors:\n  a:\n    endpoint: [ftp://b]\n", "must be https or http"},
		"query":                {"mirrors:\n  a:\n    endpoint: ['https://b/v2?x=y']\n", "nothing can follow the path"},
		"regular expression":   {"mirrors:\n  a:\n    rewrite: {'(': x}\n", `"(" is no regular expression`},
		"half a login":         {"configs:\n  a:\n    auth: {username: u}\n", "needed together"},
		"pair":                 {"configs:\n  a:\n    auth: {auth: hunter2}\n", "must be the base64 form"},
		"password for all":     {"configs:\n  '*':\n    auth: {username: u, password: hunter2}\n", "name the registry"},
		"relative":             {"configs:\n  a:\n    tls: {ca_file: ca.pem}\n", "must be an absolute path"},
		"key alone":            {"configs:\n  a:\n    tls: {key_file: /k}\n", "key_file needs cert_file"},
		"not a bool":           {"configs:\n  a:\n    tls: {insecure_skip_verify: 'hunter2'}\n", "must be true or false"},
		"twice":                {"mirrors: {}\nmirrors: {}\n", `"mirrors" is there twice, first on line 1`},
		"not YAML":             {"mirrors:\n\t- x\n", "f:2: not valid YAML"},
		"two documents":        {"mirrors: {}\n---\nmirrors: {}\n", "f:2: a second document"},
		"a word":               {"hunter2\n", `f:1: expected the keys "mirrors:" and "configs:"`},
		"empty":                {"", "the file is empty"},
		"zeros":                {strings.Repeat("\x00", 300), "not valid YAML"},
	} {
		_, err := Parse("f", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %s", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret is told: %v", name, err)
		}
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	_, err := Parse("f", []byte("a: 1\nmirrors:\n  b:\n    c: 1\n"))
	if err == nil || !strings.Contains(err.Error(), "f:1:") || !strings.Contains(err.Error(), "f:4:") {
		t.Errorf("got %v", err)
	}
}

func TestEmptyMappingMeansNothing(t *testing.T) {
	for _, text := range []string{"{}", "mirrors:\nconfigs:\n", "# later\nmirrors: {}\n"} {
		if s, err := Parse("f", []byte(text)); err != nil || !s.Empty() {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	s := full(t)
	data, err := json.Marshal(s.Hosts)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(data), fmt.Sprint(s), fmt.Sprintf("%+v %#v", s, s)} {
		if strings.Contains(text, "hunter") {
			t.Errorf("a secret is in %s", text)
		}
	}
}

func FuzzParseNeverPanicsNorTellsSecrets(f *testing.F) {
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("configs: &a\n  b: *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("f", []byte(text))
		if err == nil {
			makePlan(s, true)
			makePlan(s, false).files(entrance{"127.0.0.1:1", "k"})
		}
	})
}
