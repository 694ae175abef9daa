package addons

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kedge-io/kedge/internal/folderwatch"
)

// testMapper knows ConfigMaps and Namespaces; Widgets from the first Reset
// after their definition was applied.
type testMapper struct {
	*meta.DefaultRESTMapper
	resets int
	onMiss func(*meta.DefaultRESTMapper)
}

func (m *testMapper) Reset() {
	m.resets++
	if m.onMiss != nil {
		m.onMiss(m.DefaultRESTMapper)
	}
}

var widget = schema.GroupVersionKind{Group: "example.org", Version: "v1", Kind: "Widget"}

type bench struct {
	cluster
	t      *testing.T
	fake   *fake.FakeDynamicClient
	mapper *testMapper
	dir    string
	seen   done
	refuse map[string]error // object name -> what the server says to an apply
}

func newBench(t *testing.T) *bench {
	t.Helper()
	m := meta.NewDefaultRESTMapper(nil)
	m.Add(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, meta.RESTScopeNamespace)
	m.Add(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, meta.RESTScopeRoot)
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		configMaps:                              "ConfigMapList",
		{Version: "v1", Resource: "namespaces"}: "NamespaceList",
		{Group: "example.org", Version: "v1", Resource: "widgets"}: "WidgetList",
		{Version: "v1", Resource: "events"}:                        "EventList",
	})
	b := &bench{t: t, fake: client, mapper: &testMapper{DefaultRESTMapper: m}, dir: t.TempDir(), seen: done{}, refuse: map[string]error{}}
	// The fake knows no server-side apply: an apply replaces or creates.
	client.PrependReactor("patch", "*", b.apply)
	b.cluster = cluster{client: client, mapper: b.mapper}
	return b
}

func (b *bench) apply(action clienttesting.Action) (bool, runtime.Object, error) {
	p := action.(clienttesting.PatchAction)
	if p.GetPatchType() != types.ApplyPatchType {
		return false, nil, nil
	}
	if err := b.refuse[p.GetName()]; err != nil {
		return true, nil, err
	}
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal(p.GetPatch(), o); err != nil {
		return true, nil, err
	}
	tracker := b.fake.Tracker()
	err := tracker.Update(p.GetResource(), o, p.GetNamespace())
	if apierrors.IsNotFound(err) {
		err = tracker.Create(p.GetResource(), o, p.GetNamespace())
	}
	return true, o, err
}

func (b *bench) write(name, content string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) remove(name string) {
	b.t.Helper()
	if err := os.Remove(filepath.Join(b.dir, name)); err != nil {
		b.t.Fatal(err)
	}
}

// sync makes one pass and returns the faults, one a line.
func (b *bench) sync() string {
	b.t.Helper()
	out, err := b.cluster.sync(context.Background(), b.dir, b.seen, false)
	if err != nil {
		return err.Error()
	}
	var faults []string
	for _, o := range out {
		if o.err != nil {
			faults = append(faults, o.file+": "+o.err.Error())
		}
	}
	return strings.Join(faults, "\n")
}

// has lists the ConfigMaps of namespace default.
func (b *bench) has() string {
	b.t.Helper()
	list, err := b.fake.Resource(configMaps).Namespace("default").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, o := range list.Items {
		names = append(names, o.GetName())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (b *bench) expect(when, want, faults string) {
	b.t.Helper()
	got := b.sync()
	if (faults == "") != (got == "") || !strings.Contains(got, faults) {
		b.t.Errorf("%s: faults %q, want %q", when, got, faults)
	}
	if h := b.has(); h != want {
		b.t.Errorf("%s: cluster has %q, want %q", when, h, want)
	}
}

func cm(names ...string) string {
	var docs []string
	for _, n := range names {
		docs = append(docs, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata: {n: \"1\"}\n", n))
	}
	return strings.Join(docs, "---\n")
}

func TestObjectsFollowTheirFiles(t *testing.T) {
	b := newBench(t)
	b.write("one.yaml", cm("a", "b"))
	b.write("sub/two.json", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}]}`)
	b.write("notes.txt", "not a manifest")
	b.expect("first", "a b c", "")
	b.write("one.yaml", cm("b", "d"))
	b.expect("object left its file", "b c d", "")
	b.remove("sub/two.json")
	b.expect("file removed", "b d", "")
}

func TestRemovalWhileTheServerWasDownIsPruned(t *testing.T) {
	b := newBench(t)
	b.write("one.yaml", cm("a", "b"))
	b.write("two.yaml", cm("c"))
	b.expect("first", "a b c", "")
	b.write("one.yaml", cm("b"))
	b.remove("two.yaml")
	b.seen = done{} // a new process
	b.expect("after restart", "b", "")
}

func TestBrokenFilePrunesNothing(t *testing.T) {
	b := newBench(t)
	b.write("one.yaml", cm("a", "b"))
	b.expect("first", "a b", "")
	for name, content := range map[string]string{
		"empty": "", "not yaml": "{{{", "no kind": "apiVersion: v1\nmetadata: {name: x}\n",
		"no name": "apiVersion: v1\nkind: ConfigMap\n", "text": "hello",
	} {
		b.write("one.yaml", content)
		b.expect(name, "a b", "one.yaml")
	}
}

func TestBadDocumentDoesNotStopTheOthers(t *testing.T) {
	b := newBench(t)
	b.write("one.yaml", cm("a")+"---\nkind: [\n---\n"+cm("c"))
	b.write("two.yaml", cm("d"))
	b.expect("syntax", "a c d", "document 2")
	b.refuse["e"] = fmt.Errorf("admission says no")
	b.write("two.yaml", cm("d", "e", "f"))
	b.expect("refused", "a c d f", "admission says no")
}

func TestObjectMayMoveToAnotherFile(t *testing.T) {
	b := newBench(t)
	b.write("a.yaml", cm("x", "yy"))
	b.expect("first", "x yy", "")
	b.write("a.yaml", cm("x"))
	b.write("b.yaml", cm("yy"))
	b.expect("moved", "x yy", "")
	b.remove("a.yaml")
	b.expect("first file removed", "yy", "")
}

func TestTwoFilesDoNotFightOverAnObject(t *testing.T) {
	b := newBench(t)
	b.write("a.yaml", cm("x"))
	b.expect("first", "x", "")
	b.write("b.yaml", cm("x", "z"))
	b.expect("claimed twice", "x z", "belongs to another manifest")
	b.remove("b.yaml")
	b.expect("second file removed", "x", "")
}

func TestForeignObjectIsNeverPruned(t *testing.T) {
	b := newBench(t)
	b.write("a.yaml", cm("x", "yy"))
	b.expect("first", "x yy", "")
	o, err := b.fake.Resource(configMaps).Namespace("default").Get(t.Context(), "x", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o.SetLabels(nil) // somebody took it over
	if _, err := b.fake.Resource(configMaps).Namespace("default").Update(t.Context(), o, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.remove("a.yaml")
	b.expect("file removed", "x", "")
}

func TestSkippedFileIsLeftAlone(t *testing.T) {
	b := newBench(t)
	b.write("a.yaml", cm("x"))
	b.expect("first", "x", "")
	b.write("a.yaml.skip", "")
	b.write("a.yaml", cm("yy"))
	b.expect("skipped", "x", "")
	b.remove("a.yaml")
	b.remove("a.yaml.skip")
	b.expect("removed", "", "")
}

func TestUnreadableFolderPrunesNothing(t *testing.T) {
	b := newBench(t)
	b.write("a.yaml", cm("x"))
	b.expect("first", "x", "")
	if err := os.Rename(b.dir, b.dir+".gone"); err != nil {
		t.Fatal(err)
	}
	b.expect("folder gone", "x", "read manifests")
}

func TestCustomResourceIsAppliedAfterItsDefinition(t *testing.T) {
	b := newBench(t)
	b.write("a.yaml", "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\n---\n"+cm("x"))
	b.expect("unknown kind", "x", "no matches for kind")
	b.mapper.onMiss = func(m *meta.DefaultRESTMapper) { m.Add(widget, meta.RESTScopeNamespace) }
	b.expect("known kind", "x", "")
	widgets := b.fake.Resource(schema.GroupVersionResource{Group: "example.org", Version: "v1", Resource: "widgets"}).Namespace("default")
	if _, err := widgets.Get(t.Context(), "w", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	b.write("a.yaml", cm("x"))
	b.expect("removed", "x", "")
	if _, err := widgets.Get(t.Context(), "w", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the widget is still there: %v", err)
	}
}

func TestUnchangedFilesCostNoWrite(t *testing.T) {
	b := newBench(t)
	b.write("a.yaml", cm("x"))
	b.expect("first", "x", "")
	b.fake.ClearActions()
	b.expect("second", "x", "")
	for _, a := range b.fake.Actions() {
		if !slices.Contains([]string{"get", "list", "watch"}, a.GetVerb()) {
			t.Errorf("%s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

func TestLoopAppliesChangesAndSaysEachFaultOnce(t *testing.T) {
	b := newBench(t)
	var log strings.Builder
	var last error
	m := &Manifests{
		cfg:    Config{Dir: b.dir, Log: slog.New(slog.NewTextHandler(&log, nil)), Report: func(err error) { last = err }},
		settle: time.Millisecond, faults: map[string]string{}, watch: folderwatch.New,
	}
	b.write("a.yaml", "{{{")
	for range 3 {
		m.pass(t.Context(), b.cluster, b.seen, false)
	}
	if n := strings.Count(log.String(), "manifest not applied"); n != 1 {
		t.Errorf("the fault was logged %d times:\n%s", n, &log)
	}
	if last == nil || !strings.Contains(last.Error(), "a.yaml") {
		t.Errorf("reported %v", last)
	}
	b.write("a.yaml", cm("x"))
	if !m.pass(t.Context(), b.cluster, b.seen, false) || last != nil {
		t.Errorf("after the repair: %v", last)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- m.loop(ctx, b.cluster, func() { close(ready) }) }()
	<-ready
	b.write("b.yaml", cm("yy"))
	b.wait("x yy")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestPackagedManifestsParse(t *testing.T) {
	dir := t.TempDir()
	v := defaultValues(netip.MustParseAddr("10.43.0.10"))
	if err := writePackaged(dir, nil, v); err != nil {
		t.Fatal(err)
	}
	files, _, err := readDir(dir)
	if err != nil || len(files) != len(packagedNames()) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if !f.whole() || len(f.objects) == 0 {
			t.Errorf("%s: %d objects, %v", f.name, len(f.objects), f.problems)
		}
		for _, o := range f.objects {
			if ip, ok, _ := unstructured.NestedString(o.Object, "spec", "clusterIP"); ok && ip != "10.43.0.10" {
				t.Errorf("%s: clusterIP %s", f.name, ip)
			}
		}
	}
	if err := writePackaged(dir, []string{"coredns"}, v); err != nil {
		t.Fatal(err)
	}
	if files, _, _ := readDir(dir); len(files) != len(packagedNames())-1 {
		t.Error("a disabled manifest is still there")
	}
}

func TestGuaranteesGoWithBandwidth(t *testing.T) {
	dir := t.TempDir()
	if err := writePackaged(dir, []string{"bandwidth"}, defaultValues(netip.MustParseAddr("10.43.0.10"))); err != nil {
		t.Fatal(err)
	}
	files, _, err := readDir(dir)
	if err != nil || slices.ContainsFunc(files, func(f *file) bool {
		return strings.Contains(f.name, "bandwidth") || strings.Contains(f.name, "guarantees")
	}) {
		t.Errorf("%d files, %v", len(files), err)
	}
}

func TestDisableNamesWhatIsKnown(t *testing.T) {
	base := Config{
		Dir: "/m", ClusterDNS: netip.MustParseAddr("10.43.0.10"), Log: slog.New(slog.DiscardHandler),
		Client: func() (*rest.Config, error) { return nil, nil },
	}
	for name, says := range map[string]string{"coredns": "", "traefik": "use one of " + strings.Join(Packaged(), ", "), "rbac": "no node works without it"} {
		c := base
		c.Disable = []string{name}
		err := c.Validate()
		if (err == nil) != (says == "") || (err != nil && !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecordNamesFitAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range []string{"a.yaml", "a.yml", "A.yaml", "sub/a.yaml", "sub-a.yaml", strings.Repeat("long", 60) + ".yaml", "ünï.yaml", "-.yaml"} {
		n := recordName(f)
		if len(n) > 63 || seen[n] || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%s -> %s", f, n)
		}
		seen[n] = true
	}
}
