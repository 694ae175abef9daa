package support_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/support"
)

// unpack is what a bundle has, by name.
func unpack(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	gz, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	files := tar.NewReader(gz)
	for {
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
		out[h.Name] = string(text)
	}
}

func TestArchiveIsBoundedAndSaysWhatIsMissing(t *testing.T) {
	var raw bytes.Buffer
	r := support.NewRedactor()
	a := support.NewArchive(&raw, "kedge-1", time.Unix(1, 0), r)
	a.PartLimit = 64 << 10
	long := strings.Repeat("x", a.PartLimit) + "\npassword=planted the end"
	for _, err := range []error{
		a.Add("logs/long.log", long, nil),
		a.Add("gone", "", errors.New("no such thing, token=planted")),
		a.AddJSON("status.json", map[string]any{"password": "planted", "ready": true}, nil),
		a.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files := unpack(t, raw.Bytes())
	for name, text := range files {
		if strings.Contains(text, "planted") {
			t.Errorf("%s has the secret", name)
		}
	}
	if got := files["kedge-1/logs/long.log"]; len(got) != a.PartLimit || !strings.HasSuffix(got, "the end") {
		t.Errorf("the log has %d bytes, of %d", len(got), a.PartLimit)
	}
	var status map[string]any
	if err := json.Unmarshal([]byte(files["kedge-1/status.json"]), &status); err != nil || status["ready"] != true {
		t.Errorf("status is %v, %v", status, err)
	}
	var list support.Contents
	if err := json.Unmarshal([]byte(files["kedge-1/contents.json"]), &list); err != nil || len(list.Parts) != 2 || len(list.Missing) != 1 || list.Parts[0].Cut == 0 {
		t.Errorf("contents are %+v, %v", list, err)
	}
}

func TestWholeArchiveIsBounded(t *testing.T) {
	var raw bytes.Buffer
	a := support.NewArchive(&raw, "k", time.Unix(1, 0), support.NewRedactor())
	a.PartLimit, a.TotalLimit = 64<<10, 1<<20
	part := strings.Repeat(strings.Repeat("0123456789 abcd ", 16)+"\n", a.PartLimit/257)
	for range a.TotalLimit/a.PartLimit + 3 {
		if err := a.Add("same", part, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	gz, err := gzip.NewReader(&raw)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, gz)
	if err != nil || n > int64(a.TotalLimit)+64<<10 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestObjectsKeepNoVariablesAndNoCommands(t *testing.T) {
	var list map[string]any
	if err := json.Unmarshal([]byte(`{"items":[{
		"metadata":{"name":"shop","namespace":"a","managedFields":[{"x":"planted"}],
			"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"planted","example.org/note":"planted","kedge.io/egress":"1M"}},
		"spec":{"nodeName":"edge-1","volumes":[{"secret":{"secretName":"planted"}}],
			"containers":[{"name":"c","image":"i","env":[{"name":"X","value":"planted"}],"args":["planted"],"command":["planted"],
				"livenessProbe":{"httpGet":{"httpHeaders":[{"name":"A","value":"planted"}]}},"lifecycle":{"preStop":{"exec":{"command":["planted"]}}}}]},
		"status":{"phase":"Running"},"data":{"k":"planted"}}]}`), &list); err != nil {
		t.Fatal(err)
	}
	for _, k := range support.Kinds() {
		if k.Name != "pods" {
			continue
		}
		text, err := json.Marshal(k.Objects(list))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"edge-1", `"image":"i"`, "Running", "kedge.io/egress"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s is missing in %s", want, text)
			}
		}
		if strings.Contains(string(text), "planted") {
			t.Errorf("secrets in %s", text)
		}
	}
	for _, k := range support.Kinds() {
		if strings.Contains(k.Path, "secrets") || strings.Contains(k.Path, "configmaps") {
			t.Errorf("%s is taken", k.Path)
		}
	}
}
