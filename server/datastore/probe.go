package datastore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// probeKey is written at each start. It lies outside of /registry, where the
// apiserver would find it.
const probeKey = "/kedge/datastore/started"

// proveUse writes a key through the etcd API and reads it back, as the
// apiserver will.
func proveUse(ctx context.Context, endpoint string, conf *tls.Config) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{
		Context: ctx, Endpoints: []string{endpoint}, TLS: conf, DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		return fmt.Errorf("connect to the etcd API: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	want := time.Now().UTC().Format(time.RFC3339Nano)
	if _, err := c.Put(ctx, probeKey, want); err != nil {
		return fmt.Errorf("write a first key: %w", err)
	}
	got, err := c.Get(ctx, probeKey)
	if err != nil {
		return fmt.Errorf("read the first key back: %w", err)
	}
	if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != want {
		return errors.New("read the first key back: another value was found: is a second server using this datastore?")
	}
	return nil
}
