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
