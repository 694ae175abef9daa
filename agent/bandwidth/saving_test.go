package bandwidth

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestManyChangesAreFewWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, wake := filepath.Join(t.TempDir(), "bandwidth.json"), make(chan struct{}, 1)
		s := saving{file: file, log: slog.New(slog.DiscardHandler), wake: wake}
		kept := func() string {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		change := func(rate string) {
			s.keep(wishes{Pods: map[string]podWish{"uid": {Annotations: limited(rate)}}})
		}
		change("1M")
		if !strings.Contains(kept(), "1M") {
			t.Errorf("kept is %s, want the first change at once", kept())
		}
		for range 10 {
			after(100 * time.Millisecond)
			change("2M")
		}
		if strings.Contains(kept(), "2M") {
			t.Error("the file was written twice in a second")
		}
		after(saveAfter)
		select {
		case <-wake:
		default:
			t.Error("nobody is told that there is something to write")
		}
		change("3M")
		if !strings.Contains(kept(), "3M") {
			t.Errorf("kept is %s, want the last change", kept())
		}
		change("4M")
		s.flush()
		if !strings.Contains(kept(), "4M") {
			t.Errorf("kept is %s, want what is written at the end", kept())
		}
	})
}
