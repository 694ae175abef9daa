package registries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/agent/herald"
	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

const (
	// Name is the word for the registry settings.
	Name = "registries"
	// DefaultFile is read unless another file is named.
	DefaultFile = "/etc/kedge/registries.yaml"
	// period is how often the file is looked at. Looking costs one call of stat for
	// it and each certificate, needs no inotify instance, and sees a change behind
	// any number of links. A file counts when it has not changed for one period:
	// editors empty a file before they write it.
	period = time.Second
	// patience is after how many looks settings are tried again that could not be
	// put in force for a reason that is not in the file, such as a full disk.
	patience = 10
)

// Config says where things are. All paths are absolute.
type Config struct {
	// File is registries.yaml. It need not exist.
	File string
	// CertsDir is the folder in which containerd looks for hosts files.
	CertsDir string
	// LastGood is where the text of the settings in force is kept, so that they
	// survive a restart that finds a bad file.
	LastGood string
	// MirrorsOnly never asks a registry itself that has mirrors.
	MirrorsOnly bool
	// NodeName and Kubeconfig are for events on the node; there are none where
	// Kubeconfig is empty.
	NodeName, Kubeconfig string
}

// Registries keeps the settings in force. It is made by [New].
type Registries struct {
	cfg    Config
	log    *slog.Logger
	report func(error)
	herald *herald.Herald
	proxy  *proxy
	failed chan error // the proxy's end
	every  time.Duration
	now    settled
}

// settled is what was read last.
type settled struct {
	head  string   // state of the file before it was read
	seen  string   // and of the certificates that it names
	files []string // those certificates
	text  string   // in force
	wrong string   // last error told
	again bool     // what is wrong may go away with nothing of seen changed
}

// New checks cfg. report takes what is wrong with the file, and nil when it is
// mended; it may be nil.
func New(cfg Config, log *slog.Logger, report func(error)) (*Registries, error) {
	for what, path := range map[string]string{"--private-registry": cfg.File, "certs.d": cfg.CertsDir, "last good settings": cfg.LastGood} {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("%s %q must be an absolute path", what, path)
		}
	}
	if report == nil {
		report = func(error) {}
	}
	return &Registries{cfg: cfg, log: log.With("component", Name), report: report, failed: make(chan error, 1), every: period}, nil
}

// Component is ready when the settings are in force, or it is known that they are
// wrong. Nothing that is wrong with them ends it.
func (r *Registries) Component() lifecycle.Component {
	return lifecycle.Component{Name: Name, Run: r.run}
}

func (r *Registries) run(ctx context.Context, ready func()) error {
	ctx, stop := context.WithCancel(ctx)
	heralds, err := r.proclaim(ctx)
	defer func() {
		stop()
		heralds()
		if r.proxy != nil {
			if err := <-r.failed; err != nil {
				r.log.Debug("end of the way to registries", "error", err)
			}
		}
	}()
	if err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	ready()
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	last, looks := r.now.seen, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-r.failed:
			r.failed <- nil
			return err
		case <-tick.C:
		}
		seen := r.signature()
		looks++
		if seen == last && (seen != r.now.seen || r.now.again && looks >= patience) {
			r.load(ctx)
			looks = 0
		}
		last = seen
	}
}

// begin takes the settings at start: those of the file, or if that is wrong the
// last ones that were right.
func (r *Registries) begin(ctx context.Context) error {
	r.load(ctx)
	if r.now.wrong == "" {
		return nil
	}
	text, err := os.ReadFile(r.cfg.LastGood)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("read the last registry settings: %w", err)
	}
	named := r.now.files
	if err := r.take(ctx, string(text)); err != nil {
		r.log.Warn("the former registry settings cannot be used either", "error", err)
	}
	// A certificate that was missing may come.
	r.watch(append(r.now.files, named...))
	return nil
}

// load reads the file and puts it in force, or says what is wrong with it.
func (r *Registries) load(ctx context.Context) {
	r.now.head = state(r.cfg.File)
	r.watch(r.now.files)
	r.now.again = false
	text, err := readFile(r.cfg.File)
	if err == nil {
		err = r.take(ctx, text)
	} else {
		err = former(err)
	}
	if err == nil {
		if r.now.wrong != "" {
			r.tell(corev1.EventTypeNormal, "RegistrySettingsInForce", "what was wrong with "+r.cfg.File+" is mended")
		}
		r.now.wrong = ""
		r.report(nil)
		return
	}
	r.report(err)
	if err.Error() != r.now.wrong {
		r.now.wrong = err.Error()
		r.tell(corev1.EventTypeWarning, "RegistrySettingsWrong", err.Error())
	}
}

// readFile is empty for a file that does not exist. A link that leads nowhere, to a
// disk that is not there yet for instance, is a mistake.
func readFile(path string) (string, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	// A pipe would wait for somebody to write.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !st.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file", path)
	case st.Size() == 0:
		return " ", nil // an empty file is a mistake, a missing one is not
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return string(text), err
}

// take puts a text in force, all of it or nothing. The empty text is no settings.
func (r *Registries) take(ctx context.Context, text string) error {
	var s Settings
	if text != "" {
		var err error
		if s, err = Parse(r.cfg.File, []byte(text)); err != nil {
			return former(err)
		}
	}
	r.watch(s.files())
	if err := s.check(); err != nil {
		return former(fmt.Errorf("%s: %w", r.cfg.File, err))
	}
	foreign, err := r.enforce(ctx, s)
	if err == nil {
		err = r.remember(s, text)
	}
	if err != nil {
		r.now.again = true
		return fmt.Errorf("registry settings of %s, tried again every %s: %w", r.cfg.File, patience*period, err)
	}
	if len(foreign) > 0 {
		r.watch(append(s.files(), foreign...)) // until they are gone
		return fmt.Errorf("registry settings: %s counts and not %s: remove the folder, or the registry from the file",
			strings.Join(foreign, ", "), r.cfg.File)
	}
	return nil
}

// former says what a mistake means.
func former(err error) error {
	return fmt.Errorf("registry settings, the former ones stay in force: %w", err)
}

// remember keeps the text of settings in force, and tells of a change.
func (r *Registries) remember(s Settings, text string) error {
	if text != r.now.text {
		r.log.Info("registry settings in force", "file", r.cfg.File, "registries", makePlan(s, r.cfg.MirrorsOnly).registries())
		r.warnOpen(s)
	}
	r.now.text = text
	if text == "" {
		if err := os.Remove(r.cfg.LastGood); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget the former registry settings: %w", err)
		}
		return nil
	}
	if _, err := fsx.WriteFileIfChanged(r.cfg.LastGood, []byte(text), 0o600); err != nil {
		return fmt.Errorf("keep the registry settings for the next start: %w", err)
	}
	return nil
}

// warnOpen remarks on passwords that everybody on the host can read.
func (r *Registries) warnOpen(s Settings) {
	st, err := os.Stat(r.cfg.File)
	if err != nil || st.Mode().Perm()&0o004 == 0 {
		return
	}
	for _, h := range s.Hosts {
		if !h.Auth.Empty() {
			r.log.Warn("every user of this host can read the passwords of registries: chmod 600 " + r.cfg.File)
			return
		}
	}
}

// watch notes the state of certificates that are about to be read. A change from
// now on is one that was not seen.
func (r *Registries) watch(certificates []string) {
	r.now.files = certificates
	r.now.seen = r.now.head + state(certificates...)
}

// signature is what [settled].seen would be now.
func (r *Registries) signature() string { return state(r.cfg.File) + state(r.now.files...) }

// state changes whenever one of the files does.
func state(paths ...string) string {
	var b strings.Builder
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", path, err)
			continue
		}
		fmt.Fprintf(&b, "%s %d %d %v\n", path, st.Size(), st.ModTime().UnixNano(), inode(st))
	}
	return b.String()
}
