package datastore

import (
	"context"
	"math"
	"time"

	"github.com/k3s-io/kine/pkg/server"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// What an etcd server tells its clients; the figures are etcd's defaults
// (go.etcd.io/etcd/server/v3/embed), written here because that package would
// bring the whole of etcd into the binary.
const (
	emulatedEtcd    = "3.6.11"
	maxRequestBytes = 1536<<10 + 512<<10
	notifyInterval  = 5 * time.Second
)

// newGRPC serves backend. oneWriter is for databases that lock as a whole.
// told hears of the revisions of writes; nil for nobody.
func newGRPC(backend server.Backend, oneWriter bool, told *acked) *grpc.Server {
	var chain []grpc.UnaryServerInterceptor
	if told != nil {
		chain = append(chain, told.intercept)
	}
	if oneWriter {
		chain = append(chain, newWriteGate().intercept)
	}
	more := []grpc.ServerOption{grpc.ChainUnaryInterceptor(chain...)}
	s := grpc.NewServer(append(more,
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Hour, Timeout: 20 * time.Second}),
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxSendMsgSize(math.MaxInt32),
	)...)
	server.New(backend, "unix", notifyInterval, emulatedEtcd).Register(s)
	return s
}

// writeGate lets one write at a time reach SQLite, in the order of arrival.
// Left to themselves, writers that find the database locked sleep and try again
// (SQLite's busy handler), and with a dozen of them the unlucky wait seconds.
type writeGate chan struct{}

func newWriteGate() writeGate { return make(writeGate, 1) }

func (g writeGate) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	switch info.FullMethod {
	case etcdserverpb.KV_Txn_FullMethodName, etcdserverpb.KV_Put_FullMethodName, etcdserverpb.KV_DeleteRange_FullMethodName:
	default:
		return next(ctx, req)
	}
	select {
	case g <- struct{}{}:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	defer func() { <-g }()
	return next(ctx, req)
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
