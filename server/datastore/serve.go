package datastore

import (
	"math"
	"time"

	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// What an etcd server tells its clients; the figures are etcd's defaults
// (go.etcd.io/etcd/server/v3/embed), written here because that package would
// bring the whole of etcd into the binary.
const (
	emulatedEtcd    = "3.6.11"
	maxRequestBytes = 1536<<10 + 512<<10
	notifyInterval  = 5 * time.Second
)

func newGRPC(backend server.Backend) *grpc.Server {
	s := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Hour, Timeout: 20 * time.Second}),
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxSendMsgSize(math.MaxInt32),
	)
	server.New(backend, "unix", notifyInterval, emulatedEtcd).Register(s)
	return s
}

// stopGRPC lets calls end, but watches never do, so it is bounded.
func stopGRPC(s *grpc.Server) {
	if s == nil {
		return
	}
	timer := time.AfterFunc(stopTimeout, s.Stop)
	defer timer.Stop()
	s.GracefulStop()
}
