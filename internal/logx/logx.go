package logx

import (
	"context"
	"io"
	"log"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"
)

// Setup returns the logger of this process, which writes lines of key=value
// pairs to w, and makes it the target of klog, logrus and the standard
// library's logger. With debug everything is printed; without it Kubernetes
// and the other libraries print warnings and errors only, because their notes
// would fill a quiet hour, and of these not what is known to be harmless.
// Call it once, before anything else runs.
func Setup(w io.Writer, debug bool) *slog.Logger {
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	handler := slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	logger := slog.New(handler)
	slog.SetDefault(logger)

	libraries := &library{Handler: handler, min: slog.LevelWarn}
	if debug {
		libraries.min = slog.LevelDebug
	}
	klog.SetLoggerWithOptions(logr.FromSlogHandler(withComponent(libraries, "kubernetes")), klog.ContextualLogger(true))
	log.SetFlags(0)
	log.SetOutput(lineWriter{slog.New(withComponent(libraries, "go"))})
	bridgeLogrus(slog.New(withComponent(libraries, "library")))
	return logger
}

func withComponent(h slog.Handler, name string) slog.Handler {
	return h.WithAttrs([]slog.Attr{slog.String("component", name)})
}

// stopping is set for good by [Stopping].
var stopping atomic.Bool

// Stopping says that this process ends. From then on libraries are heard with
// debug only: their parts end one after another and complain of each other.
func Stopping() { stopping.Store(true) }

// library hides a library's records below a level of its own, and turns what
// is harmless into notes for debugging.
type library struct {
	slog.Handler
	min slog.Level
}

func (h *library) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.min && h.Handler.Enabled(ctx, l)
}

func (h *library) Handle(ctx context.Context, r slog.Record) error {
	if r.Level > slog.LevelDebug && (stopping.Load() || isHarmless(r)) {
		if !h.Enabled(ctx, slog.LevelDebug) {
			return nil
		}
		r.Level = slog.LevelDebug
	}
	return h.Handler.Handle(ctx, r)
}

func (h *library) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &library{Handler: h.Handler.WithAttrs(attrs), min: h.min}
}

func (h *library) WithGroup(name string) slog.Handler {
	return &library{Handler: h.Handler.WithGroup(name), min: h.min}
}

// lineWriter logs each line that the standard logger writes as a warning: what
// still uses it, like net/http's server, only speaks up about trouble.
type lineWriter struct{ log *slog.Logger }

func (w lineWriter) Write(p []byte) (int, error) {
	w.log.Warn(strings.TrimSpace(string(p)))
	return len(p), nil
}

func bridgeLogrus(logger *slog.Logger) {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.DebugLevel)
	logrus.StandardLogger().ReplaceHooks(logrus.LevelHooks{})
	logrus.AddHook(logrusHook{logger})
}

type logrusHook struct{ log *slog.Logger }

func (logrusHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h logrusHook) Fire(e *logrus.Entry) error {
	level := slog.LevelDebug
	switch e.Level {
	case logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel:
		level = slog.LevelError
	case logrus.WarnLevel:
		level = slog.LevelWarn
	case logrus.InfoLevel:
		level = slog.LevelInfo
	}
	attrs := make([]slog.Attr, 0, len(e.Data))
	for k, v := range e.Data {
		attrs = append(attrs, slog.Any(k, v))
	}
	h.log.LogAttrs(context.Background(), level, e.Message, attrs...)
	return nil
}
