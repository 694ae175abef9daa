package dns

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	client "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/internal/testx"
)

const protobufType = "application/vnd.kubernetes.protobuf"

// bigAPI serves many services with their slices in protobuf, as the API server
// does, and counts the bytes of slices by their selector. The lock guards what
// follows it.
type bigAPI struct {
	*httptest.Server
	services []corev1.Service
	slices   []discoveryv1.EndpointSlice

	mu       sync.Mutex
	watchers map[chan discoveryv1.EndpointSlice]labels.Selector
	bytes    map[string]*atomic.Int64
}

// The selector of kube-proxy (pkg/proxy/config and cmd/kube-proxy of Kubernetes
// 1.36).
const selectProxy = "!" + corev1.IsHeadlessService + ",!service.kubernetes.io/service-proxy-name"

func newBigAPI(t testing.TB, services, endpointsEach, headlessEvery int) *bigAPI {
	t.Helper()
	a := &bigAPI{watchers: map[chan discoveryv1.EndpointSlice]labels.Selector{}, bytes: map[string]*atomic.Int64{}}
	for i := range services {
		a.add(fmt.Sprintf("service-%d", i), endpointsEach, i, i%headlessEvery == 0)
	}
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() { a.CloseClientConnections(); a.Close() })
	return a
}

// add makes a service and the slice that the controller would make for it.
func (a *bigAPI) add(name string, endpoints, i int, headless bool) {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "default", Name: name, ResourceVersion: "1", UID: types.UID(fmt.Sprintf("7b1c1a52-0000-4000-8000-%012d", i))}
	}
	service := corev1.Service{ObjectMeta: meta(name)}
	service.Spec.ClusterIP = fmt.Sprintf("10.43.%d.%d", 1+i/250, i%250)
	port, protocol, portName, ready := int32(8080), corev1.ProtocolTCP, "http", true
	slice := discoveryv1.EndpointSlice{ObjectMeta: meta(name + "-x2b4f"), AddressType: discoveryv1.AddressTypeIPv4}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: name, discoveryv1.LabelManagedBy: sliceController}
	if headless {
		service.Spec.ClusterIP = corev1.ClusterIPNone
		slice.Labels[corev1.IsHeadlessService] = ""
	}
	service.Spec.ClusterIPs = []string{service.Spec.ClusterIP}
	service.Spec.Ports = []corev1.ServicePort{{Name: portName, Port: 80, Protocol: protocol}}
	slice.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: name, UID: service.UID}}
	slice.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "discovery.k8s.io/v1",
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:addressType":{},"f:endpoints":{},"f:metadata":{"f:annotations":{".":{},"f:endpoints.kubernetes.io/last-change-trigger-time":{}},"f:generateName":{},"f:labels":{".":{},"f:endpointslice.kubernetes.io/managed-by":{},"f:kubernetes.io/service-name":{}},"f:ownerReferences":{".":{}}},"f:ports":{}}`)}}
	slice.Annotations = map[string]string{"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"}
	slice.Ports = []discoveryv1.EndpointPort{{Name: &portName, Port: &port, Protocol: &protocol}}
	for e := range endpoints {
		node := fmt.Sprintf("edge-%d", e)
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.42.%d.%d", e, i%250+1)}, NodeName: &node,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: fmt.Sprintf("%s-6d4cf56db6-%05d", name, e), UID: types.UID(fmt.Sprintf("0a1c1a52-%04d-4000-8000-%012d", e, i))},
		})
	}
	a.services, a.slices = append(a.services, service), append(a.slices, slice)
}

func (a *bigAPI) counter(selector string) *atomic.Int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bytes[selector] == nil {
		a.bytes[selector] = &atomic.Int64{}
	}
	return a.bytes[selector]
}

func encode(obj runtime.Object) []byte {
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), protobufType)
	text, err := runtime.Encode(info.Serializer, obj)
	if err != nil {
		panic(err)
	}
	return text
}

func (a *bigAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch {
	case query.Get("sendInitialEvents") != "": // as a server that does not stream lists
		status := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(status)
	case strings.HasSuffix(r.URL.Path, "/endpointslices"):
		selector, err := labels.Parse(query.Get("labelSelector"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := &counting{w: w, n: a.counter(query.Get("labelSelector"))}
		if query.Get("watch") != "" {
			a.watch(out, r, selector)
			return
		}
		list := &discoveryv1.EndpointSliceList{TypeMeta: metav1.TypeMeta{Kind: "EndpointSliceList", APIVersion: "discovery.k8s.io/v1"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
		for _, s := range a.slices {
			if selector.Matches(labels.Set(s.Labels)) {
				list.Items = append(list.Items, s)
			}
		}
		reply(out, r, list)
	case query.Get("watch") != "":
		w.Header().Set("Content-Type", protobufType+";stream=watch")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case strings.HasSuffix(r.URL.Path, "/services"):
		reply(&counting{w: w, n: a.counter("services")}, r, &corev1.ServiceList{TypeMeta: metav1.TypeMeta{Kind: "ServiceList", APIVersion: "v1"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: a.services})
	default:
		reply(&counting{w: w, n: a.counter("namespaces")}, r, &corev1.NamespaceList{TypeMeta: metav1.TypeMeta{Kind: "NamespaceList", APIVersion: "v1"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"},
			Items: []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default", ResourceVersion: "1"}}}})
	}
}

type counting struct {
	w http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.w.Write(b)
}

// reply compresses large answers, as the API server does from 128 KiB on.
func reply(out *counting, r *http.Request, obj runtime.Object) {
	text := encode(obj)
	out.w.Header().Set("Content-Type", protobufType)
	if len(text) > 128<<10 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, 1)
		_, _ = z.Write(text)
		_ = z.Close()
		text = b.Bytes()
		out.w.Header().Set("Content-Encoding", "gzip")
	}
	_, _ = out.Write(text)
}

// watch sends changed slices in the frames of the API server.
func (a *bigAPI) watch(out *counting, r *http.Request, selector labels.Selector) {
	changes := make(chan discoveryv1.EndpointSlice, len(a.slices))
	a.mu.Lock()
	a.watchers[changes] = selector
	a.mu.Unlock()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), protobufType)
	out.w.Header().Set("Content-Type", protobufType+";stream=watch")
	out.w.(http.Flusher).Flush()
	frames := info.StreamSerializer.NewFrameWriter(out)
	for {
		select {
		case <-r.Context().Done():
			return
		case slice := <-changes:
			event := &metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Raw: encode(&slice)}}
			var b bytes.Buffer
			if err := info.StreamSerializer.Encode(event, &b); err != nil {
				panic(err)
			}
			_, _ = frames.Write(b.Bytes())
			out.w.(http.Flusher).Flush()
		}
	}
}

// storm changes every slice once and tells how many each selector got.
func (a *bigAPI) storm() (sent map[string]int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sent = map[string]int{}
	for i := range a.slices {
		a.slices[i].ResourceVersion = "2"
		a.slices[i].TypeMeta = metav1.TypeMeta{Kind: "EndpointSlice", APIVersion: "discovery.k8s.io/v1"}
		for changes, selector := range a.watchers {
			if selector.Matches(labels.Set(a.slices[i].Labels)) {
				changes <- a.slices[i]
				sent[selector.String()]++
			}
		}
	}
	return sent
}

func (a *bigAPI) config() *rest.Config {
	return &rest.Config{Host: a.URL, ContentConfig: rest.ContentConfig{ContentType: protobufType, AcceptContentTypes: protobufType + ",application/json"}, QPS: 1000, Burst: 1000}
}

// watchAll is a client that takes the slices of a selector, as DNS did with
// none and as kube-proxy does with its own.
func watchAll(t *testing.T, a *bigAPI, selector string) {
	t.Helper()
	c, err := client.NewForConfig(a.config())
	if err != nil {
		t.Fatal(err)
	}
	f := informers.NewSharedInformerFactoryWithOptions(c, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector }))
	f.Discovery().V1().EndpointSlices().Informer()
	ctx, cancel := context.WithCancel(context.Background())
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	t.Cleanup(func() { cancel(); f.Shutdown() })
}

func (a *bigAPI) settle(t *testing.T, watchers int) {
	t.Helper()
	testx.Eventually(t, time.Minute, "watches are open", func(context.Context) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.watchers) != watchers {
			return fmt.Errorf("%d of %d", len(a.watchers), watchers)
		}
		return nil
	})
}

func TestOnlySlicesThatDNSNeedsAreSentToANode(t *testing.T) {
	a := newBigAPI(t, 500, 10, 20)
	a.add("by-hand", 1, 999, true)
	hand := &a.slices[len(a.slices)-1]
	hand.Labels = map[string]string{discoveryv1.LabelServiceName: "by-hand"}
	names, err := newKubernetes(t.Context(), "cluster.local", a.config(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { names.APIConn.Run(); close(ended) }()
	defer func() { _ = names.APIConn.Stop(); <-ended }()
	testx.Eventually(t, time.Minute, "the names are known", func(context.Context) error {
		if !names.APIConn.HasSynced() {
			return fmt.Errorf("not synced")
		}
		return nil
	})
	watchAll(t, a, "")
	watchAll(t, a, selectProxy)
	a.settle(t, 4)
	for name, want := range map[string]int{"service-0": 10, "service-1": 1, "by-hand": 1} {
		w := &answers{}
		query := new(miekg.Msg).SetQuestion(name+".default.svc.cluster.local.", miekg.TypeA)
		if _, err := names.ServeDNS(t.Context(), w, query); err != nil || w.reply == nil || len(w.reply.Answer) != want {
			t.Errorf("%s: %v, %v; want %d answers", name, w.reply, err, want)
		}
	}
	if got := names.APIConn.EpIndexReverse("10.42.0.250"); len(got) != 1 {
		t.Errorf("the address of a slice made by hand: %v", got)
	}
	first := a.totals()
	sent := a.storm()
	dns := sent[selectHeadless] + sent[mustParse(selectForeign).String()]
	if dns != 26 || sent[""] != 501 {
		t.Errorf("of 501 changed slices DNS was sent %d, want 26: %v", dns, sent)
	}
	testx.Eventually(t, time.Minute, "all changes are written", func(context.Context) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		for changes := range a.watchers {
			if len(changes) > 0 {
				return fmt.Errorf("%d left", len(changes))
			}
		}
		return nil
	})
	for selector, before := range first {
		t.Logf("first list %8d bytes, storm %8d bytes, selector %q", before, a.counter(selector).Load()-before, selector)
	}
}

func mustParse(text string) labels.Selector {
	s, err := labels.Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

func (a *bigAPI) totals() map[string]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]int64{}
	for selector, n := range a.bytes {
		out[selector] = n.Load()
	}
	return out
}

// answers keeps the reply of a handler.
type answers struct {
	miekg.ResponseWriter
	reply *miekg.Msg
}

func (a *answers) WriteMsg(m *miekg.Msg) error { a.reply = m; return nil }
