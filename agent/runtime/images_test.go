package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/folderwatch"
	"github.com/kedge-io/kedge/internal/paths"
)

func TestArchivesAreFoundWithoutAnInotifyInstance(t *testing.T) {
	reports := make(chan error)
	cfg := Config{Layout: paths.New(t.TempDir())}
	ctx, cancel := context.WithCancel(t.Context())
	i, err := NewImages(cfg, slog.New(slog.DiscardHandler), func(err error) {
		select {
		case reports <- err:
		case <-ctx.Done():
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	i.watch = func(log *slog.Logger) *folderwatch.Watcher {
		return folderwatch.Poll(log, time.Millisecond, syscall.EMFILE)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- i.run(ctx, func() { close(ready) }) }()
	<-ready
	if err := <-reports; !errors.Is(err, syscall.EMFILE) {
		t.Errorf("reported %v", err)
	}
	// What is no archive cannot be imported: its report shows that it was found.
	file := filepath.Join(cfg.Layout.Images(), "a.tar")
	if err := os.WriteFile(file, []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	for found := false; !found; {
		err := <-reports
		found = strings.Contains(fmt.Sprint(err), file)
		if !errors.Is(err, syscall.EMFILE) {
			t.Errorf("reported %v", err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
