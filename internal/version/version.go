package version

import (
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// Set by the linker, see the Makefile; constant afterwards.
var (
	// Kedge is the version of kedge without a leading v, for example 0.1.0.
	Kedge = "0.1.0-unreleased"
	// Commit is the git commit, with -dirty when files had been changed.
	Commit = ""
	// Date is the time of the commit in RFC 3339, UTC.
	Date = ""

	runc   = "" // of the runtime bundle
	sqlite = "" // of the SQLite library inside its Go module
)

// unknown stands for a part that this binary was not linked with, as in tests.
const unknown = "unknown"

// Info is every version as kedge version prints it.
type Info struct {
	Kedge      string `json:"kedge"`
	Commit     string `json:"commit,omitempty"`
	Date       string `json:"date,omitempty"`
	Kubernetes string `json:"kubernetes"`
	Containerd string `json:"containerd"`
	Runc       string `json:"runc"`
	Kine       string `json:"kine"`
	SQLite     string `json:"sqlite"`
	CoreDNS    string `json:"coredns"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
}

// Get returns all versions; a part that is not in this binary is "unknown".
func Get() Info {
	return Info{
		Kedge:      Kedge,
		Commit:     Commit,
		Date:       Date,
		Kubernetes: Kubernetes(),
		Containerd: Containerd(),
		Runc:       Runc(),
		Kine:       Kine(),
		SQLite:     SQLite(),
		CoreDNS:    module("github.com/coredns/coredns"),
		Go:         Go(),
		Platform:   runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// Kubernetes returns the version that nodes report: the upstream version with
// kedge's as semantic-version build metadata, v1.36.3+kedge0.1.0.
func Kubernetes() string { return kubernetes(module("k8s.io/kubernetes"), Kedge) }

func kubernetes(upstream, kedge string) string {
	if upstream == unknown {
		return unknown
	}
	// Build metadata may hold letters, digits, dots and dashes only
	// (semver.org, item 10).
	return upstream + "+kedge" + strings.ReplaceAll(kedge, "+", ".")
}

// Containerd returns the version of the containerd inside the binary.
func Containerd() string { return module("github.com/containerd/containerd/v2") }

// Runc returns the version of the runc in the runtime bundle.
func Runc() string { return known(runc) }

// Kine returns the version of kine.
func Kine() string { return module("github.com/k3s-io/kine") }

// SQLite returns the version of the SQLite library, for example 3.54.1, or that
// of the Go module around it in a binary not built with the Makefile.
func SQLite() string {
	if sqlite != "" {
		return sqlite
	}
	return module("modernc.org/sqlite")
}

// Go returns the version of the Go toolchain and runtime.
func Go() string { return runtime.Version() }

func known(v string) string {
	if v == "" {
		return unknown
	}
	return v
}

// module returns the version of a module that is linked into this binary.
func module(path string) string { return known(modules()[path]) }

var modules = sync.OnceValue(func() map[string]string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	return versions(info.Deps)
})

func versions(deps []*debug.Module) map[string]string {
	m := make(map[string]string, len(deps))
	for _, d := range deps {
		path := d.Path
		if d.Replace != nil {
			d = d.Replace
		}
		m[path] = d.Version
	}
	return m
}
