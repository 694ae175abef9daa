package registries

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kedge-io/kedge/internal/fsx"
)

// hostsFile is what containerd reads in the folder of a registry.
const hostsFile = "hosts.toml"

// certsD is containerd's folder of registries, in which people may have folders of
// their own.
type certsD string

// apply makes the folder hold exactly files, by folder, besides what others made.
// It returns the registries' folders that are somebody else's and stay as they
// are. Each file is replaced as a whole, and what is gone is removed last.
func (dir certsD) apply(files map[string]string) (foreign []string, err error) {
	var errs []error
	for name, text := range files {
		owner, err := dir.owner(name)
		switch {
		case err != nil:
			errs = append(errs, err)
		case owner != "":
			foreign = append(foreign, owner)
		default:
			errs = append(errs, dir.write(name, text))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return foreign, err
	}
	return foreign, dir.sweep(files)
}

func (dir certsD) write(name, text string) error {
	path := filepath.Join(string(dir), name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	// It may hold the key of the proxy.
	_, err := fsx.WriteFileIfChanged(filepath.Join(path, hostsFile), []byte(text), 0o600)
	return err
}

// owner returns the folder that somebody else made for the registry of that
// folder; containerd reads two spellings of HOST:PORT.
func (dir certsD) owner(name string) (string, error) {
	spellings := []string{name}
	if host, port, ok := strings.Cut(strings.TrimSuffix(name, "_"), "_"); ok && host != "" && strings.HasSuffix(name, "_") {
		spellings = append(spellings, host+":"+port)
	}
	for _, s := range spellings {
		path := filepath.Join(string(dir), s)
		own, err := isOurs(path)
		if err != nil {
			return "", err
		}
		if !own {
			return path, nil
		}
	}
	return "", nil
}

// isOurs tells whether a folder is missing, empty, or has a hosts file that kedge
// wrote. Temporary files are left by a write that was killed.
func isOurs(path string) (bool, error) {
	data, err := os.ReadFile(filepath.Join(path, hostsFile))
	if err == nil {
		return strings.HasPrefix(string(data), mark), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			return false, nil
		}
	}
	return true, nil
}

// sweep removes our hosts files other than those wanted, with their folder if
// nothing else is in it.
func (dir certsD) sweep(wanted map[string]string) error {
	entries, err := os.ReadDir(string(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(string(dir), e.Name())
		file := filepath.Join(path, hostsFile)
		data, err := os.ReadFile(file)
		if _, keep := wanted[e.Name()]; keep || err != nil || !strings.HasPrefix(string(data), mark) {
			continue
		}
		if err := os.Remove(file); err != nil {
			errs = append(errs, fmt.Errorf("remove former registry settings: %w", err))
			continue
		}
		_ = os.Remove(path) // stays if a person has put something there
	}
	return errors.Join(errs...)
}
