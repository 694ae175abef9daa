package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"net"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/generic"
	_ "github.com/k3s-io/kine/pkg/drivers/sqlite" // the scheme sqlite of --endpoint
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// runKine is kine with the defaults of its own flags. Its own command links
// drivers that this repository does not have.
func runKine(args []string) error {
	flags := flag.NewFlagSet("kine", flag.ExitOnError)
	listen := flags.String("listen-address", "127.0.0.1:2379", "where clients connect")
	database := flags.String("endpoint", "", "the database")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var work sync.WaitGroup
	_, backend, err := drivers.New(ctx, &work, &drivers.Config{
		Endpoint:             *database,
		ConnectionPoolConfig: generic.ConnectionPoolConfig{MaxIdle: 20, MaxIdleTime: 2 * time.Minute},
		CompactInterval:      5 * time.Minute, CompactIntervalJitter: 5, CompactTimeout: 5 * time.Second,
		CompactMinRetain: 1000, CompactBatchSize: 1000,
		PollBatchSize: 500, PollInterval: time.Second,
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", *database, err)
	}
	if err := backend.Start(ctx); err != nil {
		return fmt.Errorf("start on %s: %w", *database, err)
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Hour, Timeout: 20 * time.Second}),
		grpc.MaxConcurrentStreams(math.MaxUint32), grpc.MaxRecvMsgSize(2<<20), grpc.MaxSendMsgSize(math.MaxInt32),
	)
	server.New(backend, "http", 5*time.Second, "3.6.11").Register(s)
	context.AfterFunc(ctx, s.Stop)
	if err := s.Serve(l); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
