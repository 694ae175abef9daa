package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

func TestMetricsFollowTheState(t *testing.T) {
	var state snapshot.State
	c := New(func() snapshot.State { return state })
	if err := testutil.CollectAndCompare(c, strings.NewReader(`
# HELP kedge_snapshot_kept Whole snapshots of this cluster on this server.
# TYPE kedge_snapshot_kept gauge
kedge_snapshot_kept 0
`), "kedge_snapshot_kept", "kedge_snapshot_last_timestamp_seconds"); err != nil {
		t.Error(err)
	}
	m := snapshot.Manifest{Time: time.Unix(1800000000, 0), Facts: snapshot.Facts{Revision: 77}}
	state = snapshot.State{Last: &snapshot.Entry{Bytes: 5, Manifest: &m}, Kept: 2, RemoteFailures: 3}
	if err := testutil.CollectAndCompare(c, strings.NewReader(`
# HELP kedge_snapshot_failures_total Snapshots that could not be made (local), or not be copied away (remote), since the start.
# TYPE kedge_snapshot_failures_total counter
kedge_snapshot_failures_total{where="local"} 0
kedge_snapshot_failures_total{where="remote"} 3
# HELP kedge_snapshot_last_timestamp_seconds When the last whole snapshot of this cluster was made, in seconds since 1970; not there without one.
# TYPE kedge_snapshot_last_timestamp_seconds gauge
kedge_snapshot_last_timestamp_seconds 1.8e+09
`), "kedge_snapshot_failures_total", "kedge_snapshot_last_timestamp_seconds"); err != nil {
		t.Error(err)
	}
}
