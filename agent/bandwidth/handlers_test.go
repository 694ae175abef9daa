package bandwidth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
)

// ask is what the component answers at a path of the status socket.
func (w *bench) ask(path string) (code int, body string) {
	answer := httptest.NewRecorder()
	w.Handlers()[path].ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	return answer.Code, answer.Body.String()
}

func TestWhatIsInForceIsShown(t *testing.T) {
	onBench(t, func(w *bench) {
		for path := range w.Handlers() {
			if code, body := w.ask(path); code != http.StatusServiceUnavailable || !strings.Contains(body, "runtime") {
				t.Errorf("%s before the first plan: %d %s", path, code, body)
			}
		}
		w.inv.set(runningPod("web", limited("10M")))
		after(time.Second)
		if _, body := w.ask(snapshot.PathPlan); body != w.kernel.applied()[len(w.kernel.applied())-1].String() {
			t.Errorf("the plan is\n%s", body)
		}
		w.kernel.set(func(k *fakeKernel) { k.differ = []string{"- class 6b65:20", "+ class 6b65:30"} })
		if _, body := w.ask(snapshot.PathCheck); body != "- class 6b65:20\n+ class 6b65:30\n" {
			t.Errorf("what differs is %q", body)
		}
	})
}

func TestStatusHasCountersOfPodsAndDelays(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set(runningPod("web", limited("10M")))
		w.pods.watcher.Add(podObject("web", limited("20M")))
		after(time.Second)
		minor := w.kernel.classOf("pod default/web", model.Egress).Minor
		w.kernel.set(func(k *fakeKernel) { k.counters = []shape.Counter{{Minor: minor, Bytes: 4711}} })
		_, body := w.ask(snapshot.PathStatus)
		var n snapshot.Node
		if err := json.Unmarshal([]byte(body), &n); err != nil {
			t.Fatal(err)
		}
		if len(n.Pods) != 1 || len(n.Pods[0].Classes) == 0 || n.Pods[0].Classes[0].Counters.Bytes != 4711 {
			t.Errorf("pods are %+v", n.Pods)
		}
		if n.Node != "edge" || n.Attribution != "cgroup" || n.Delays == nil || n.Delays.Count == 0 || n.Trouble != nil {
			t.Errorf("the node is %+v", n)
		}
	})
}
