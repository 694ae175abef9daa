package distfiles

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/kedge-io/kedge/internal/wire"
)

const (
	// sums is the file with the hashes of all programs, as sha256sum writes it.
	sums = "sha256sums.txt"
	// program begins the names of programs; the processor follows.
	program = "kedge-linux-"
)

// architectures are those that there are programs for, as Go calls them.
var architectures = []string{"amd64", "arm64"}

// Config is what [New] makes a [Files] from.
type Config struct {
	// Dir is the folder for programs, kedge-linux-ARCH each. It need not exist.
	Dir string
	// Own is the program that this server was started from, given out for Arch
	// where Dir has none.
	Own string
	// Arch is the processor of this machine, as Go calls it.
	Arch string
	// Pin is the hash of the authority's key that nodes are to find.
	Pin func() (wire.Pin, error)
	Log *slog.Logger
}

// Files hands out install files. It is safe for concurrent use.
type Files struct {
	cfg    Config
	places places
	known  hashes
}

// New returns a Files. Nothing is read yet.
func New(cfg Config) *Files {
	return &Files{cfg: cfg}
}

// Handlers are the answers by their patterns (see [http.ServeMux]).
func (f *Files) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"GET " + wire.PathInstall:         http.HandlerFunc(f.install),
		"GET " + wire.PathDist + sums:     http.HandlerFunc(f.sums),
		"GET " + wire.PathDist + "{name}": http.HandlerFunc(f.program),
	}
}

// open opens the program for arch.
func (f *Files) open(arch string) (*os.File, error) {
	file, err := os.Open(filepath.Join(f.cfg.Dir, program+arch))
	if err == nil || !os.IsNotExist(err) || arch != f.cfg.Arch || f.cfg.Own == "" {
		return file, err
	}
	return os.Open(f.cfg.Own)
}

// missing tells how to mend that there is no program for arch.
func (f *Files) missing(arch string) string {
	return fmt.Sprintf("this server has no kedge for %s: put %s of its release into %s on the server", arch, program+arch, f.cfg.Dir)
}

// sums answers the hashes of all programs that there are.
func (f *Files) sums(w http.ResponseWriter, r *http.Request) {
	var list strings.Builder
	for _, arch := range architectures {
		sum, err := f.sum(arch)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			f.broken(w, r, err)
			return
		}
		fmt.Fprintf(&list, "%s  %s\n", sum, program+arch)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(list.String()))
}

func (f *Files) sum(arch string) (string, error) {
	file, err := f.open(arch)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return f.known.of(file)
}

// program answers one program, or the part of it that was asked for.
func (f *Files) program(w http.ResponseWriter, r *http.Request) {
	arch, ok := strings.CutPrefix(r.PathValue("name"), program)
	if !ok || arch == "" || strings.Trim(arch, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		http.Error(w, "there are "+sums+" and "+program+"ARCH here", http.StatusNotFound)
		return
	}
	client := clientOf(r)
	if !f.places.take(client) {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "other machines are being installed: try again", http.StatusServiceUnavailable)
		return
	}
	defer f.places.giveBack(client)
	file, err := f.open(arch)
	if os.IsNotExist(err) {
		http.Error(w, f.missing(arch), http.StatusNotFound)
		return
	}
	if err != nil {
		f.broken(w, r, err)
		return
	}
	defer file.Close()
	f.send(w, r, file)
}

func (f *Files) send(w http.ResponseWriter, r *http.Request, file *os.File) {
	sum, err := f.known.of(file)
	var info os.FileInfo
	if err == nil {
		info, err = file.Stat()
	}
	if err != nil {
		f.broken(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+sum+`"`)
	reader := newPatient(w)
	defer reader.done()
	http.ServeContent(reader, r, "", info.ModTime(), file)
}

func (f *Files) broken(w http.ResponseWriter, r *http.Request, err error) {
	f.cfg.Log.Error("install file not readable", "path", r.URL.Path, "error", err)
	http.Error(w, "this file cannot be read: see the server's log", http.StatusInternalServerError)
}
