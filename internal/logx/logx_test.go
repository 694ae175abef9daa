package logx

import (
	"bytes"
	"errors"
	"log"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"
)

func TestLibrariesLogToTheSamePlaceAtTheirOwnLevel(t *testing.T) {
	for _, debug := range []bool{false, true} {
		var out bytes.Buffer
		logger := Setup(&out, debug)
		logger.Info("own note")
		klog.InfoS("klog note")
		klog.ErrorS(errors.New("boom"), "klog trouble")
		logrus.WithField("table", "kine").Info("logrus note")
		logrus.Warn("logrus trouble")
		log.Print("http trouble")
		klog.Flush()
		text := out.String()
		for _, want := range []string{"own note", "klog trouble", "component=kubernetes", "logrus trouble", "http trouble"} {
			if !strings.Contains(text, want) {
				t.Errorf("debug=%v: %q is missing in\n%s", debug, want, text)
			}
		}
		for _, note := range []string{"klog note", "logrus note"} {
			if strings.Contains(text, note) != debug {
				t.Errorf("debug=%v: %q printed: %v", debug, note, !debug)
			}
		}
	}
}

func TestHarmlessMessagesArePrintedForDebuggingOnly(t *testing.T) {
	messages := map[string]func(){
		"mirror pod": func() {
			klog.ErrorS(errors.New(`node "n" not found`), "Unable to register mirror pod because node is not registered yet", "node", "n")
		},
		"PLEG": func() {
			klog.ErrorS(errors.New("[PLEG is not healthy: pleg has yet to be successful]"), "Skipping pod synchronization")
		},
		"no API": func() { klog.ErrorS(errors.New(`Get "https://127.0.0.1:6444/api/v1/nodes": EOF`), "Failed to watch") },
		"remotedialer": func() {
			logrus.Warn(`[6] encountered error "x" while writing error "tunnel disconnect" to close remotedialer`)
		},
		"formatted":     func() { klog.Errorf("failed to sync with latest state: %v", "context canceled") },
		"empty metrics": func() { klog.Errorf("The manifest file is empty, ignoring.") },
	}
	for name, say := range messages {
		for _, debug := range []bool{false, true} {
			var out bytes.Buffer
			Setup(&out, debug)
			say()
			klog.Flush()
			if printed := out.Len() > 0; printed != debug || strings.Contains(out.String(), "level=ERROR") {
				t.Errorf("%s, debug=%v: %q", name, debug, out.String())
			}
		}
	}
}

func TestSimilarTroubleIsPrinted(t *testing.T) {
	var out bytes.Buffer
	Setup(&out, false)
	klog.ErrorS(errors.New("PLEG is not healthy: pleg was last seen active 5m0s ago"), "Skipping pod synchronization")
	klog.ErrorS(errors.New("pods is forbidden"), "Failed to watch")
	klog.ErrorS(errors.New("permission denied"), "Failed to list existing nftables objects")
	klog.Flush()
	if lines := strings.Count(out.String(), "level=ERROR"); lines != 3 {
		t.Errorf("%d errors printed, want 3:\n%s", lines, out.String())
	}
}

func TestLibrariesAreQuietWhileStopping(t *testing.T) {
	t.Cleanup(func() { stopping.Store(false) })
	var out bytes.Buffer
	logger := Setup(&out, false)
	Stopping()
	klog.ErrorS(errors.New("context canceled"), "Error listing containers")
	logger.Info("own word")
	klog.Flush()
	if text := out.String(); strings.Contains(text, "containers") || !strings.Contains(text, "own word") {
		t.Errorf("got %q", text)
	}
}
