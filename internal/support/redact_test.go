package support_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/support"
)

const (
	hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	body = "MHcCAQEEIPlanted0000000000000000000000000000000000000000000000ab"
)

func TestSecretsLeaveByTheirShape(t *testing.T) {
	for name, c := range map[string]struct{ text, keeps string }{
		"private key":             {"a\n-----BEGIN EC PRIVATE KEY-----\nplanted-line\n-----END EC PRIVATE KEY-----\nb", "b"},
		"key without an end":      {"a\n-----BEGIN PRIVATE KEY-----\nplanted-line\nmore-planted", "a"},
		"key without a beginning": {body + "\n" + body + "\n-----END PRIVATE KEY-----\nb", "b"},
		"key in JSON":             {`{"k":"-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----\n","x":1}`, `"x":1`},
		"kubeconfig":              {"    client-key-data: LS0tLS1CRUdJTplanted==\n    user: a", "user: a"},
		"join token":              {"joined with K1" + hash + "::abc123.plantedplantedplanted now", "abc123"},
		"recovery token":          {"K1" + hash + "::recovery.planted-planted_planted", "recovery"},
		"bearer of a join token":  {"got abc123.planted0planted0planted from", "abc123"},
		"service account":         {"token eyJhbGciOiJplanted.eyJpc3MiOplanted.planted-sig ended", "ended"},
		"proxy":                   {"HTTPS_PROXY=http://user:planted@proxy.example:3128 used", "proxy.example"},
		"datastore":               {"endpoint postgres://kedge:pla/nted@db.example:5432/kedge?sslmode=disable x", "db.example"},
		"mysql as drivers say it": {"opening kedge:planted@tcp(db.example:3306)/kedge", "db.example"},
		"header":                  {"Authorization: Basic planted0planted==\nHost: a", "Host: a"},
		"header in a log":         {`msg="sent" header="Bearer planted0planted"`, "sent"},
		"YAML":                    {"password: planted\nuser: anna", "anna"},
		"YAML with commas":        {"password: plan,ted;planted\nuser: anna", "anna"},
		"JSON":                    {`{"a":null,"secret_token":null,"password":"planted \"x\" planted","b":1}`, `"b":1`},
		"JSON in a log":           {`msg="{\"password\":\"planted\"}" next=1`, "next=1"},
		"variable":                {"DB_PASSWORD=planted PORT=1", "PORT=1"},
		"variable of a pod":       {`{"name":"S3_ACCESS_KEY","value":"planted"},{"name":"PORT","value":"1"}`, `"PORT"`},
		"option":                  {"--datastore-password planted --port 1", "--port 1"},
		"another scheme":          {"> Authorization: Token planted-1 planted-2\n> Host: a", "Host: a"},
		"cookies":                 {"Set-Cookie: a=planted; b=planted\nHost: a", "Host: a"},
		"headers as Go has them":  {"map[Authorization:[Token planted] Host:[a]]", "Host:[a]"},
		"headers in JSON":         {`{"Authorization":["Token planted"],"Host":"a"}`, `"Host":"a"`},
		"list":                    {`{"passwords":["planted","planted"],"b":1}`, `"b":1`},
		"object":                  {`{"auth":{"user":"anna","password":"planted"},"b":1}`, `"b":1`},
		"object in a log":         {`msg="{\"auth\":{\"user\":\"anna\",\"password\":\"planted\"}}" next=1`, "next=1"},
		"behind a harmless name":  {"opened secretName=tls-shop,password=planted x", "tls-shop"},
		"arguments":               {`args=["mysqladmin","--password","planted","ping"]`, `"ping"`},
		"arguments in a log":      {`msg="[\"--token\", \"planted\"]" next=1`, "next=1"},
		"quoted option":           {"sh -c 'x --password planted' y", "y"},
		"signed address":          {"GET https://s3.example/b/k?X-Amz-Date=1&X-Amz-Signature=planted&x=1 redirected", "x=1 redirected"},
		"two in a row":            {"password token=planted x", "x"},
		"AWS":                     {"id AKIAABCDEFGHIJKLMNOP used", "used"},
		"age":                     {"AGE-SECRET-KEY-1PLANTEDQQQQ x", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			got := support.NewRedactor().Text(c.text)
			if strings.Contains(strings.ToLower(got), "planted") || strings.Contains(got, "nted@") || strings.Contains(got, "AKIAABC") || !strings.Contains(got, c.keeps) {
				t.Errorf("%q became %q", c.text, got)
			}
		})
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	for _, text := range []string{
		`{"token-file": "/etc/kedge/token", "secretName": "tls-shop", "tokens": 3, "secrets": [], "auth": {"a": 1}}`,
		`args=["--token-file", "/etc/kedge/token", "--password", "--port", "1"]`,
		"the password of nobody was asked for", "secret: true", "time=2026-01-02T03:04:05Z level=INFO msg=ready component=kubelet",
		"pod kube-system/nginx-7c5ddbdf54-abcde on edge-1.example.org", "https://server.example:6443/v1-kedge/ping",
	} {
		if got := support.NewRedactor().Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestLearnedValuesLeaveWhereverTheyAre(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("apiserver.key", "-----BEGIN EC PRIVATE KEY-----\n"+body+"\n-----END EC PRIVATE KEY-----\n")
	write("recovery-token", "planted&recovery word\n")
	write("registries.yaml", "configs:\n  \"r.example:5000\":\n    auth:\n      username: anna\n      password: pl4nted:reg\n")
	write("encryption.json", `{"resources":[{"providers":[{"secretbox":{"keys":[{"name":"k1","secret":"cGxhbnRlZC1lbmNyeXB0aW9u"}]}}]}]}`)
	write("public.crt", "not-a-secret-certificate\n")
	r := support.NewRedactor()
	r.LearnTree(dir)
	r.LearnEnv([]string{"APP_TOKEN=env-planted-1", "http_proxy=http://u:env-planted-2@p.example", "https_proxy=http://u:env%40planted-3@p.example", "HOME=/root/of/all"})
	text := strings.Join([]string{
		body, "planted&recovery word", "planted%26recovery+word", "pl4nted:reg", "anna", "cGw0bnRlZDpyZWc=", // base64 of pl4nted:reg
		"cGxhbnRlZC1lbmNyeXB0aW9u", "not-a-secret-certificate", "env-planted-1", "env-planted-2", "/root/of/all", "env@planted-3",
	}, " | ")
	got := r.Text(text)
	want := strings.Join([]string{
		support.Mask, support.Mask, support.Mask, support.Mask, "anna", support.Mask,
		support.Mask, "not-a-secret-certificate", support.Mask, support.Mask, "/root/of/all", support.Mask,
	}, " | ")
	if got != want {
		t.Errorf("left:\n%s\nwant:\n%s", got, want)
	}
}

func FuzzRedactingEndsAndIsStable(f *testing.F) {
	f.Add("password: x\n-----BEGIN PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		r := support.NewRedactor()
		r.Learn("planted-secret")
		if got := r.Text(text + " planted-secret"); strings.Contains(got, "planted-secret") {
			t.Errorf("%q keeps the secret: %q", text, got)
		}
	})
}
