package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/paths"
)

// tools are the programs inside kedge whose arguments are their own: see tools
// in cmd/kedge.
var tools = []string{"kubectl", "crictl", "ctr", "containerd"}

// candidates returns the folders of slots to look at and to unpack into, the
// best first: that of the data directory and, for an ordinary user, one in the
// user's cache.
func candidates(argv, env []string, uid int) []string {
	folders := []string{paths.New(dataDir(argv, env)).Data()}
	if uid != 0 {
		if cache := cacheDir(env); cache != "" {
			folders = append(folders, cache)
		}
	}
	return folders
}

// dataDir is the data directory that arguments, environment and configuration
// files name, as kedge itself will find it; "" stands for the default.
func dataDir(argv, env []string) string {
	dir, file := "", ""
	if len(argv) > 0 && !isTool(argv) {
		dir, file = flagValue(argv[1:], "data-dir"), flagValue(argv[1:], config.FileFlag)
	}
	if dir != "" {
		return dir
	}
	if file != "" {
		env = append(slices.Clone(env), config.EnvName(config.FileFlag)+"="+file)
	}
	aliases := map[string]string{"KEDGE_CONFIG_FILE": config.FileFlag}
	return config.Peek("data-dir", config.Options{Env: env, Aliases: aliases})
}

// runningFrom returns the folders of slots from which processes of this user
// run program id: a daemon whose data directory only its unit names has unpacked
// what "kedge kubectl" needs. Other users' processes could run from anywhere.
func runningFrom(proc, id string, uid int) []string {
	exes, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "exe"))
	var found []string
	for _, exe := range exes {
		target, err := os.Readlink(exe)
		dir, ok := strings.CutSuffix(target, program("/", id))
		if err != nil || !ok || slices.Contains(found, dir) {
			continue
		}
		st, err := os.Stat(filepath.Dir(exe))
		if err != nil {
			continue
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) == uid {
			found = append(found, dir)
		}
	}
	return found
}

// guarded tells whether nobody but root and this user can change what is found at
// dir: a process may run from a folder of somebody else, who would exchange the
// program between the look at it and its start. Folders that a person has named are
// trusted.
func guarded(dir string, uid int) bool {
	for ; ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil || st.Uid != 0 && int(st.Uid) != uid {
			return false
		}
		// In a sticky folder others cannot rename what is not theirs.
		if st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

func isTool(argv []string) bool {
	return slices.Contains(tools, filepath.Base(argv[0])) || len(argv) > 1 && slices.Contains(tools, argv[1])
}

// flagValue finds --name VALUE or --name=VALUE; the last one counts.
func flagValue(args []string, name string) string {
	value := ""
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if v, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			value = v
		} else if arg == "--"+name && i+1 < len(args) {
			value = args[i+1]
		}
	}
	return value
}

// cacheDir is the user's own folder, by the rules of the XDG base directories;
// "" when the environment names none.
func cacheDir(env []string) string {
	if dir := lookup(env, "XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "kedge")
	}
	if home := lookup(env, "HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".cache", "kedge")
	}
	return ""
}

// lookup returns the last value of a variable.
func lookup(env []string, name string) string {
	value := ""
	for _, pair := range env {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}

// without returns env less one variable.
func without(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
}
