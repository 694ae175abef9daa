package kube

import (
	"log/slog"
	"strings"
	_ "unsafe" // for go:linkname

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	_ "k8s.io/apiserver/pkg/storage/storagebackend/factory" // owns the variable
)

// etcdClientLogger is upstream's logger of the client that talks to the
// datastore. It writes lines of its own format straight to standard error, by
// the hundred when a store is closed during the start, and its environment
// variable (ETCD_CLIENT_DEBUG) cannot lower the level. What it says reaches
// the callers as errors, too.
//
//go:linkname etcdClientLogger k8s.io/apiserver/pkg/storage/storagebackend/factory.etcd3ClientLogger
var etcdClientLogger *zap.Logger

func init() {
	encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "msg", NameKey: "logger"})
	etcdClientLogger = zap.New(zapcore.NewCore(encoder, zapcore.AddSync(debugLines{}), zapcore.WarnLevel)).Named("etcd-client")
}

// debugLines logs each line for debugging.
type debugLines struct{}

func (debugLines) Write(p []byte) (int, error) {
	slog.Debug(strings.TrimSpace(string(p)), "component", "kubernetes")
	return len(p), nil
}
