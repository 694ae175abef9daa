package firewallapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"encoding/pem"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// set waits until the status of a set has this count ("IPv4/IPv6") and these
// words.
func (a *api) set(t *testing.T, name, count string, words ...string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, fmt.Sprintf("set %s has %s, %q", name, count, words), func(ctx context.Context) error {
		s, err := a.edge.AddressSets().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%d/%d", s.Status.IPv4, s.Status.IPv6)
		ok := text == count && s.Status.ObservedGeneration == s.Generation
		for _, source := range s.Status.Sources {
			text += fmt.Sprintf(" %s=%d %s", source.Source, source.Count, source.Problem)
		}
		for _, c := range s.Status.Conditions {
			text += fmt.Sprintf(" %s=%s", c.Type, c.Reason)
		}
		for _, w := range words {
			ok = ok && strings.Contains(text, w)
		}
		if !ok {
			return errors.New(text)
		}
		return nil
	})
}

func sets(t *testing.T, a *api) {
	var body atomic.Value
	body.Store("203.0.113.0/24 # the office\n2001:db8::/32\n")
	list := serve(t, a, &body)
	const set = `{apiVersion: edge.kedge.io/v1alpha1, kind: AddressSet, metadata: {name: s}, spec: {`
	a.Apply(t, set+`addresses: [198.51.100.7, 198.51.100.7/32, "2001:db8:1::/48"]}}`)
	a.set(t, "s", "1/1", "addresses=2", "Current=Current")
	a.Apply(t, set+`addresses: [198.51.100.7], configMapRef: {namespace: default, name: packed}, list: {url: "`+list.URL+`/list", interval: 10s, caBundle: "`+strings.ReplaceAll(certificate(list), "\n", `\n`)+`"}}}`)
	a.set(t, "s", "2/1", "configMapRef=0 ConfigMap default/packed does not exist: make it", "list=2 ", "Current=SourceFailed")

	many := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "packed"}, BinaryData: map[string][]byte{"list.gz": packed(t, 99_000)}}
	_, err := a.Client.CoreV1().ConfigMaps("default").Create(t.Context(), many, metav1.CreateOptions{})
	cluster.Must(t, err)
	a.set(t, "s", "99002/1", "configMapRef=99000 ", "Current=Current")
	many.BinaryData, many.Data = nil, map[string]string{"list": "10.0.0.0/8\n10.0.0.0/33\n"}
	_, err = a.Client.CoreV1().ConfigMaps("default").Update(t.Context(), many, metav1.UpdateOptions{})
	cluster.Must(t, err)
	a.set(t, "s", "99002/1", `ConfigMap default/packed: key list, line 2: "10.0.0.0/33" is neither an address nor a range`, "Current=SourceFailed")

	body.Store("")
	a.set(t, "s", "99002/1", "it has no address")
	cluster.Must(t, a.Server.Kill())
	cluster.Must(t, a.Server.Start())
	a.set(t, "s", "99002/1", "line 2", "it has no address")
	body.Store("203.0.113.0/24\n")
	a.set(t, "s", "99002/0", "list=1 ")
	columns := strings.Fields(strings.Join(strings.SplitN(a.Kubectl(t, "get", "aset"), "\n", 3)[:2], " "))
	if got := strings.Join(columns[:11], " "); got != "NAME IPV4 IPV6 ACCEPTED CURRENT AGE s 99002 0 True False" {
		t.Errorf("columns are %q", got)
	}
	a.Kubectl(t, "delete", "addressset", "s")
}

// serve serves a list on the server's host.
func serve(t *testing.T, a *api, body *atomic.Value) *httptest.Server {
	t.Helper()
	l, err := a.Server.Host.Listen("tcp", "127.0.0.1:8443")
	cluster.Must(t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, body.Load())
	}))
	s.Listener.Close()
	s.Listener = l
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func certificate(s *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// packed is a list of n ranges.
func packed(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for i := range n {
		fmt.Fprintf(z, "10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	cluster.Must(t, z.Close())
	return b.Bytes()
}
