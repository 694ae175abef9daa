package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/kedge-io/kedge/internal/fsx"
)

// record is what the daemon that started containerd leaves for the next one.
type record struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"`  // clock ticks since boot
	BootID string `json:"bootID"` // Start belongs to this boot
	Exe    string `json:"exe"`    // device and inode of the program
	Config string `json:"config"` // hash of all configuration read
}

// verdict is what to do about a containerd that may be running.
type verdict int

const (
	startNew verdict = iota // there is none
	adopt                   // it is the one we would start
	replace                 // it is ours, but of another program or configuration
)

// judge compares the record found with what this daemon would start. alive
// tells whether the recorded process still runs with the recorded start time.
func judge(found, want record, alive bool) verdict {
	switch {
	case found.PID == 0 || found.BootID != want.BootID || !alive:
		return startNew
	case found.Exe == want.Exe && found.Config == want.Config:
		return adopt
	default:
		return replace
	}
}

// readRecord returns the zero record when there is none or it is damaged: the
// scan for a stray process follows then.
func readRecord(path string) record {
	data, err := os.ReadFile(path)
	if err != nil {
		return record{}
	}
	var r record
	if json.Unmarshal(data, &r) != nil {
		return record{}
	}
	return r
}

func (r record) write(path string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return fsx.WriteFile(path, append(data, '\n'), 0o600)
}

// configHash covers the written text and every drop-in, names included.
func configHash(text []byte, dropIns string) (string, error) {
	h := sha256.New()
	h.Write(text)
	files, err := filepath.Glob(dropIns)
	if err != nil {
		return "", fmt.Errorf("list drop-ins %s: %w", dropIns, err)
	}
	slices.Sort(files)
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return "", fmt.Errorf("read containerd drop-in: %w", err)
		}
		fmt.Fprintf(h, "\n%s %d\n", f, len(data))
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// findStray looks for a containerd of this data directory without a record: a
// process in our mount namespace whose arguments name exactly our
// configuration file. Path names in other mount namespaces mean other files.
func findStray(p procFS, configFile string) (record, bool) {
	pids, err := p.pids()
	if err != nil {
		return record{}, false
	}
	own := p.mountNS("self")
	for _, pid := range pids {
		args := p.cmdline(pid)
		i := slices.Index(args, "--config")
		if i < 1 || i+1 >= len(args) || args[i+1] != configFile || !slices.Contains(args[:i], "containerd") {
			continue
		}
		st, err := p.stat(pid)
		if err != nil || st.State == 'Z' || p.mountNS(fmt.Sprint(pid)) != own {
			continue
		}
		exe, err := fileID(p.path(pid, "exe"))
		if err != nil {
			continue
		}
		return record{PID: pid, Start: st.Start, BootID: p.bootID(), Exe: exe}, true
	}
	return record{}, false
}
