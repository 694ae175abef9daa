package certs

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
)

func TestRunningServerRenewsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := testConfig(t)
		config.Lifetime = 10 * time.Minute
		k := NewKeeper(config, slog.New(slog.DiscardHandler), func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
		if err := k.Ensure(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.keep(ctx) })
		for range 60 {
			<-time.After(time.Minute)
			cert, err := pki.ReadCert(k.Paths().Serving.Cert)
			if err != nil || time.Until(cert.NotAfter) < 2*time.Minute {
				t.Fatalf("until %s, it is %s: %v", cert.NotAfter, time.Now(), err)
			}
		}
		cancel()
		running.Wait()
	})
}

func TestRenewalThatFailsIsToldAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := testConfig(t)
		var told error
		k := NewKeeper(config, slog.New(slog.DiscardHandler), func(err error) { told = err })
		if err := k.Ensure(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var running sync.WaitGroup
		running.Go(func() { k.keep(ctx) })
		// A folder in the place of a certificate cannot be replaced by a file.
		path := k.Paths().Scheduler.Cert
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(path+"/in-the-way", 0o700); err != nil {
			t.Fatal(err)
		}
		<-time.After(7 * time.Hour)
		synctest.Wait()
		if told == nil {
			t.Error("nobody was told")
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if _, err := pki.ReadCert(path); err != nil || told != nil {
			t.Error(err, told)
		}
		cancel()
		running.Wait()
	})
}
