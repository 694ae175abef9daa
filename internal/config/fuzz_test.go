package config

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzDecode checks that no file makes the decoder panic, that every problem
// names the file, and that what it returns keeps its promises.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "a: b", "a+: [1, 2]\nb: true", "a: &x [1]\nb: *x", "a: {b: c}", "- a", "a: 1\n---\nb: 2", "? [a]\n: b",
		"a:\n", "\tb", "a: |\n  text\n", "<<: {a: b}", "a: !!binary aGk=", "a: &a [*a]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := decode("f.yaml", data)
		if err != nil && !strings.HasPrefix(err.Error(), "f.yaml") {
			t.Errorf("error without the file: %v", err)
		}
		for _, e := range entries {
			if e.line < 1 || (!e.list && len(e.items) != 1) {
				t.Errorf("entry %+v", e)
			}
		}
	})
}

// FuzzLoad checks that whatever a file holds, Load either sets the flags or
// says why not, and never shows the secret.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"debug: true", "token: SECRET", "token: [SECRET]", "tls-san+: [a]", "https-listen-port: 0x10", "grace: -1h", "tls-san: ['\"']"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		dir := write(t, "c.yaml", text)
		r, err := Load(agentCommand(t, "--config", filepath.Join(dir, "c.yaml")), options())
		if (r == nil) == (err == nil) {
			t.Fatalf("result %v with error %v", r, err)
		}
		if r == nil {
			return
		}
		if v := find2(r, "token"); v.Value != "" && v.Value != Mask {
			t.Errorf("secret shown: %+v", v)
		}
	})
}

func find2(r *Resolved, key string) Value {
	for _, v := range r.Values {
		if v.Key == key {
			return v
		}
	}
	return Value{}
}
