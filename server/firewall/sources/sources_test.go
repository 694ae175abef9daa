package sources

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	cachetesting "k8s.io/client-go/tools/cache/testing"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/testx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is an API with sets and ConfigMaps that tests change, and sources on it.
type bench struct {
	*Sources
	t          *testing.T
	sets, maps *cachetesting.FakeControllerSource
	changed    atomic.Int64
	stop       func()

	mu     sync.Mutex
	refuse error // the next write
	writes int
}

// plain keeps reflectors from asking for what the fake cannot do.
type plain struct{}

func (plain) IsWatchListSemanticsUnSupported() bool { return true }

func watchOf(f *cachetesting.FakeControllerSource) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc:  func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) { return f.List(o) },
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (apiwatch.Interface, error) { return f.Watch(o) },
	}, plain{})
}

func (b *bench) write(_ context.Context, set *v1alpha1.AddressSet) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refuse; err != nil {
		b.refuse = nil
		return err
	}
	b.writes++
	b.sets.Modify(set.DeepCopy())
	return nil
}

// newBench has no goroutines yet.
func newBench(t *testing.T, dir string) *bench {
	t.Helper()
	b := &bench{t: t, sets: cachetesting.NewFakeControllerSource(), maps: cachetesting.NewFakeControllerSource()}
	b.Sources = New(Config{Dir: dir, Pause: time.Millisecond, Retry: 10 * time.Millisecond, Changed: func() { b.changed.Add(1) }}, slog.New(slog.DiscardHandler))
	b.api = api{sets: watchOf(b.sets), configMap: func(string, string) cache.ListerWatcher { return watchOf(b.maps) }, write: b.write}
	return b
}

func (b *bench) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = b.run(ctx) }()
	var once sync.Once
	b.stop = func() { once.Do(func() { cancel(); <-done; b.sets.Shutdown(); b.maps.Shutdown() }) }
	b.t.Cleanup(b.stop)
}

func aset(generation int64, spec v1alpha1.AddressSetSpec) *v1alpha1.AddressSet {
	return &v1alpha1.AddressSet{ObjectMeta: metav1.ObjectMeta{Name: "s", UID: types.UID("u"), Generation: generation}, Spec: spec}
}

// has waits until the set has these prefixes and the status these words.
func (b *bench) has(prefixes string, words ...string) {
	b.t.Helper()
	testx.Eventually(b.t, time.Minute, "the set has "+prefixes+", "+strings.Join(words, ", "), func(context.Context) error {
		text := fmt.Sprint(b.Sets()["s"].Prefixes)
		if text != prefixes {
			return errors.New(text)
		}
		list, err := b.sets.List(metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, item := range list.(*corev1.List).Items {
			status := item.Object.(*v1alpha1.AddressSet).Status
			text = fmt.Sprintf("observed=%d ipv4=%d ipv6=%d", status.ObservedGeneration, status.IPv4, status.IPv6)
			for _, s := range status.Sources {
				text += fmt.Sprintf(" %s=%d %s", s.Source, s.Count, s.Problem)
			}
			for _, c := range status.Conditions {
				text += fmt.Sprintf(" %s=%s", c.Type, c.Reason)
			}
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				return errors.New(text)
			}
		}
		return nil
	})
}

func TestAddressesOfTheObjectAreASet(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.sets.Add(aset(1, v1alpha1.AddressSetSpec{Addresses: []string{"2001:db8::1", "10.0.0.0/8", "203.0.113.7"}}))
	b.start()
	<-b.Synced()
	b.has("[10.0.0.0/8 203.0.113.7/32 2001:db8::1/128]", "observed=1 ipv4=2 ipv6=1", "Accepted=Accepted", "Current=Current")
	before := b.Sets()["s"].Prefixes
	b.sets.Modify(aset(2, v1alpha1.AddressSetSpec{Addresses: []string{"203.0.113.7", "10.0.0.0/8", "2001:db8::1"}}))
	b.has("[10.0.0.0/8 203.0.113.7/32 2001:db8::1/128]", "observed=2")
	if after := b.Sets()["s"].Prefixes; &after[0] != &before[0] || b.changed.Load() != 1 {
		t.Errorf("the same content is another slice, or was told %d times", b.changed.Load())
	}
	b.sets.Modify(aset(3, v1alpha1.AddressSetSpec{Addresses: []string{"203.0.113.7"}}))
	b.has("[203.0.113.7/32]", "observed=3 ipv4=1 ipv6=0")
	b.sets.Delete(aset(3, v1alpha1.AddressSetSpec{}))
	b.has("[]")
	if _, exists := b.Sets()["s"]; exists {
		t.Error("a deleted set is still there")
	}
}

func TestStatusIsWrittenAgainAfterAConflict(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.refuse = apierrors.NewConflict(schema.GroupResource{}, "s", nil)
	b.sets.Add(aset(1, v1alpha1.AddressSetSpec{Addresses: []string{"203.0.113.7"}}))
	b.start()
	b.has("[203.0.113.7/32]", "observed=1")
}

func configMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b"}, Data: data}
}

func TestConfigMapIsFollowed(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, dir)
	b.maps.Add(configMap(map[string]string{"one": "10.0.0.1\n", "two": "10.0.0.2 # second"}))
	spec := v1alpha1.AddressSetSpec{ConfigMapRef: &v1alpha1.ConfigMapReference{Namespace: "a", Name: "b"}}
	b.sets.Add(aset(1, spec))
	b.start()
	<-b.Synced()
	b.has("[10.0.0.1/32 10.0.0.2/32]", "configMapRef=2")
	spec.ConfigMapRef.Key = "two"
	b.sets.Modify(aset(2, spec))
	b.has("[10.0.0.2/32]", "observed=2")
	b.maps.Modify(configMap(map[string]string{"two": "10.0.0.3\nnonsense"}))
	b.has("[10.0.0.2/32]", `configMapRef=1 ConfigMap a/b: key two, line 2: "nonsense" is neither`, "Current=SourceFailed", "Accepted=Accepted")
	b.maps.Modify(configMap(map[string]string{"one": "10.0.0.3"}))
	b.has("[10.0.0.2/32]", `there is no key "two": it has one`)
	b.maps.Delete(configMap(nil))
	b.has("[10.0.0.2/32]", "ConfigMap a/b does not exist: make it, or take spec.configMapRef out")
	b.stop()

	b = newBench(t, dir) // what was there before counts on over a restart
	b.sets.Add(aset(2, spec))
	b.start()
	<-b.Synced()
	b.has("[10.0.0.2/32]", "does not exist")
	b.sets.Modify(aset(3, v1alpha1.AddressSetSpec{Addresses: []string{"10.9.9.9"}}))
	b.has("[10.9.9.9/32]", "observed=3")
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("copies of a source that nobody names stay: %v, %v", left, err)
	}
}

func TestConfigMapMayBePacked(t *testing.T) {
	var text strings.Builder
	for i := range v1alpha1.MaxAddresses {
		fmt.Fprintf(&text, "10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(text.String()))
	_ = z.Close()
	if packed.Len() > 1<<20 {
		t.Fatalf("packed it has %d bytes, more than a ConfigMap may have", packed.Len())
	}
	m := &corev1.ConfigMap{BinaryData: map[string][]byte{"list.gz": packed.Bytes()}}
	if got, err := listsOf(m, "list.gz"); err != nil || len(got) != v1alpha1.MaxAddresses {
		t.Errorf("%d, %v", len(got), err)
	}
	bomb := &bytes.Buffer{}
	z = gzip.NewWriter(bomb)
	_, _ = z.Write(make([]byte, v1alpha1.MaxListBytes+1))
	_ = z.Close()
	if _, err := listsOf(&corev1.ConfigMap{BinaryData: map[string][]byte{"a": bomb.Bytes()}}, ""); err == nil || !strings.Contains(err.Error(), "key a: the list has more than 8 MiB") {
		t.Error(err)
	}
}

func TestWhatIsTooMuchIsLeftOut(t *testing.T) {
	b := newBench(t, t.TempDir())
	var text strings.Builder
	for i := range v1alpha1.MaxAddresses {
		fmt.Fprintf(&text, "10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	b.maps.Add(configMap(map[string]string{"a": text.String()}))
	b.sets.Add(aset(1, v1alpha1.AddressSetSpec{Addresses: []string{"203.0.113.7"}, ConfigMapRef: &v1alpha1.ConfigMapReference{Namespace: "a", Name: "b"}}))
	b.start()
	b.has("[203.0.113.7/32]", "configMapRef=100000 left out: together", "Accepted=TooMany")
	b.maps.Modify(configMap(map[string]string{"a": "10.0.0.1"}))
	b.has("[10.0.0.1/32 203.0.113.7/32]", "Accepted=Accepted")
}

// lists is a server of lists.
type lists struct {
	*httptest.Server
	mu        sync.Mutex
	body      string
	status    int
	asked     int
	unchanged int
}

func newLists(t *testing.T, body string) *lists {
	t.Helper()
	l := &lists{body: body, status: http.StatusOK}
	l.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.asked++
		etag := fmt.Sprintf("%q", fmt.Sprint(len(l.body)))
		switch {
		case r.URL.Path == "/to-http":
			http.Redirect(w, r, "http://example.org/", http.StatusFound)
		case r.URL.Path == "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/list", http.StatusFound)
		case l.status != http.StatusOK:
			w.WriteHeader(l.status)
		case r.Header.Get("If-None-Match") == etag:
			l.unchanged++
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Etag", etag)
			_, _ = w.Write([]byte(l.body))
		}
	}))
	l.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(l.Close)
	return l
}

func (l *lists) set(status int, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status, l.body = status, body
}

func (l *lists) spec(path string) v1alpha1.AddressSetSpec {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.Certificate().Raw})
	return v1alpha1.AddressSetSpec{List: &v1alpha1.AddressList{URL: l.URL + path, CABundle: string(ca), Interval: &metav1.Duration{Duration: 20 * time.Millisecond}}}
}

func TestListIsFetchedAgain(t *testing.T) {
	l := newLists(t, "10.0.0.1\n")
	dir := t.TempDir()
	b := newBench(t, dir)
	b.sets.Add(aset(1, l.spec("/moved")))
	b.start()
	<-b.Synced()
	b.has("[10.0.0.1/32]", "list=1")
	testx.Eventually(t, time.Minute, "only changes are asked for", func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.unchanged < 3 || l.asked-l.unchanged > 4+l.unchanged { // each has a redirect
			return fmt.Errorf("asked %d times, %d unchanged", l.asked, l.unchanged)
		}
		return nil
	})
	l.set(http.StatusOK, "10.0.0.1\n10.0.0.2\n")
	b.has("[10.0.0.1/32 10.0.0.2/32]", "list=2")
	l.set(http.StatusInternalServerError, "")
	b.has("[10.0.0.1/32 10.0.0.2/32]", "answers 500", "Current=SourceFailed")
	l.set(http.StatusOK, "")
	b.has("[10.0.0.1/32 10.0.0.2/32]", "it has no address")
	l.set(http.StatusOK, "10.0.0.9\noops\n")
	b.has("[10.0.0.1/32 10.0.0.2/32]", `line 2: "oops" is neither`)
	b.stop()
	l.set(http.StatusBadGateway, "")
	b = newBench(t, dir)
	b.sets.Add(aset(1, l.spec("/moved")))
	b.start()
	<-b.Synced()
	b.has("[10.0.0.1/32 10.0.0.2/32]", "answers 502")
	l.set(http.StatusOK, "10.0.0.3")
	b.has("[10.0.0.3/32]", "Current=Current")
}

func TestProblemsOfFetchesAreNamed(t *testing.T) {
	l := newLists(t, strings.Repeat("#", v1alpha1.MaxListBytes+1))
	foreign := l.spec("/list")
	foreign.List.CABundle = ""
	broken := l.spec("/list")
	broken.List.CABundle = "-----BEGIN CERTIFICATE-----"
	for _, c := range []struct {
		spec v1alpha1.AddressSetSpec
		want string
	}{
		{l.spec("/list"), "the list has more than 8 MiB: take comments out"},
		{l.spec("/to-http"), "it redirects to http://example.org/, which is not https"},
		{l.spec("/round"), "it redirects more than 5 times"},
		{foreign, "certificate"},
		{broken, "spec.list.caBundle holds no certificate"},
	} {
		b := newBench(t, t.TempDir())
		b.sets.Add(aset(1, c.spec))
		b.start()
		<-b.Synced()
		b.has("[]", "list=0", c.want)
		b.stop()
	}
}

func TestNobodyWaitsLongForAListThatHangs(t *testing.T) {
	free := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-free }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(free) })
	b := newBench(t, t.TempDir())
	b.cfg.Patience = 10 * time.Millisecond
	b.sets.Add(aset(1, (&lists{Server: server}).spec("/")))
	b.start()
	<-b.Synced()
	if _, known := b.Sets()["s"]; known {
		t.Error("a set is known that nobody has read")
	}
}

func TestDamagedCopyIsIgnored(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"s_list.json", "gone_list.json"} {
		if err := os.WriteFile(dir+"/"+name, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := newLists(t, "10.0.0.1")
	b := newBench(t, dir)
	b.sets.Add(aset(1, l.spec("/list")))
	b.start()
	b.has("[10.0.0.1/32]", "Current=Current")
	if _, err := os.Stat(dir + "/gone_list.json"); !errors.Is(err, os.ErrNotExist) {
		t.Error("the copy of a set that is gone stays:", err)
	}
}
