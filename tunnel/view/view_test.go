package view

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/relay"
	"github.com/kedge-io/kedge/tunnel/speed"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func sample() Report {
	lane := func(class tunnel.Lane, index int) tunnel.LaneStatus {
		return tunnel.LaneStatus{Class: class, Index: index, Since: now.Add(-time.Minute), RTT: 23400 * time.Microsecond, RemoteAddr: "203.0.113.7:4711", BytesIn: 1200}
	}
	return Report{Role: "server", Links: []Link{
		{Peer: "edge-1", Up: true, State: "up", Since: now.Add(-time.Hour), RemoteAddr: "203.0.113.7:4711", RTT: 1234 * time.Microsecond,
			Reconnects: 2, Streams: 3, BytesIn: 1_500_000, BytesOut: 900, Software: "v1", Features: []string{"lanes", "relay"},
			DialErrors: map[string]int64{"dial": 2, "access": 1}, Packets: Packets{In: 7, Out: 8, Dropped: 1, Lost: 2, Refused: map[string]int64{"foreign source": 4}},
			Lanes: []tunnel.LaneStatus{lane(tunnel.LaneControl, 0), lane(tunnel.LaneBulk, 0), lane(tunnel.LaneBulk, 1)}},
		{Peer: "edge-2", State: "down", Since: now.Add(-90 * time.Second), LastError: "nothing heard\nfor 5s"},
	}}
}

func TestTableHasALineForEachLink(t *testing.T) {
	var out strings.Builder
	if err := WriteTable(&out, sample(), now); err != nil {
		t.Fatal(err)
	}
	want := `NODE     STATE   SINCE   RTT      LANES            RECONNECTS   STREAMS   IN      OUT    REMOTE             LAST ERROR
edge-1   up      1h0m    1.23ms   control+bulk*2   2            3         1.5MB   900B   203.0.113.7:4711   -
edge-2   down    1m30s   -        -                0            0         0B      0B     -                  nothing heard
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestNodeShowsWhereItReachesTheAPI(t *testing.T) {
	r := Report{Role: "agent", Links: []Link{{Peer: "wss://s:6443", Up: true, State: "ready"}}, Servers: []Server{
		{Address: "s:6443", Given: true, State: "good", Clients: 4},
		{Address: "10.0.0.2:6443", State: "suspect", Since: now.Add(-time.Minute), LastError: "no route to host"},
	}}
	var out strings.Builder
	if err := WriteTable(&out, r, now); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"s:6443          --server   good", "10.0.0.2:6443   learned    suspect   1m0s    0         no route to host"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestEmptyTableSaysSo(t *testing.T) {
	var out strings.Builder
	if err := WriteTable(&out, Report{Role: "server"}, now); err != nil || out.String() != "no node has a link to this server\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestLinkIsShownWithItsLanesAndFailures(t *testing.T) {
	link, ok := sample().Find("edge-1")
	if !ok {
		t.Fatal("edge-1 is not found")
	}
	var out strings.Builder
	if err := WriteLink(&out, link, now); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"up since 1h0m", "1 access, 2 dial", "7 in, 8 out, 1 dropped, 2 lost", "4 foreign source", "lanes, relay", "bulk/1", "23ms", "1.2kB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if _, ok := sample().Find("edge-9"); ok {
		t.Error("an unknown peer is found")
	}
}

func TestBenchAnswersWithFiguresOrSaysWhatIsWrong(t *testing.T) {
	var asked tunnel.NodeName
	h := BenchHandler(func(_ context.Context, node tunnel.NodeName, _ tunnel.Target) (net.Conn, error) {
		asked = node
		return nil, errors.New("node is away")
	})
	post := func(query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/link/bench?"+query, nil))
		return w
	}
	good := BenchQuery("edge 1", speed.Options{Duration: time.Second, Streams: 2})
	if w := post(good); w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "node is away") || asked != "edge 1" {
		t.Errorf("%d %s, asked %q", w.Code, w.Body, asked)
	}
	for query, want := range map[string]string{
		"duration=1s&streams=1":        "no node is named",
		"peer=a&duration=x&streams=1":  "invalid duration",
		"peer=a&duration=1h&streams=1": "at most 1m0s",
	} {
		if w := post(query); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

func TestFiguresAreShownWithUnits(t *testing.T) {
	var out strings.Builder
	q := speed.Quantiles{P50: 250 * time.Microsecond, P99: 30 * time.Millisecond, N: 9}
	if err := WriteBench(&out, "edge-1", speed.Result{Streams: 8, In: 12_345_678, Out: 2e9, Dial: q, Idle: q, LoadedIn: q, LoadedOut: q}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"12.35 Mbit/s, 8 streams", "2 Gbit/s", "250µs", "30ms"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestStatusOfAnUnknownPeerNamesIt(t *testing.T) {
	h := StatusHandler(sample)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	if w := get("/link/status?peer=edge-9"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"edge-9"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	var r Report
	if w := get("/link/status?peer=edge-2"); json.Unmarshal(w.Body.Bytes(), &r) != nil || len(r.Links) != 1 || r.Links[0].Peer != "edge-2" {
		t.Errorf("%+v", r)
	}
}

func TestServerReportsWhatTheRelayRefused(t *testing.T) {
	r := OfHub([]hub.NodeStatus{{Node: "edge-1", Connected: true, DialErrors: map[tunnel.Refusal]int64{tunnel.RefusedAccess: 3}}, {Node: "edge-2"}},
		relay.Stats{Nodes: []relay.NodeStats{{Node: "edge-1", Lost: 5, Dropped: map[relay.Reason]int64{relay.ForeignSource: 7}}}})
	one, two := r.Links[0], r.Links[1]
	if !one.Up || one.State != "up" || one.DialErrors["access"] != 3 || one.Packets.Lost != 5 ||
		one.Packets.Refused[string(relay.ForeignSource)] != 7 {
		t.Errorf("got %+v", one)
	}
	if two.Up || two.State != "down" || two.Packets.Lost != 0 {
		t.Errorf("got %+v", two)
	}
}
