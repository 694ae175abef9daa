package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/paths"
)

// footprint is where a data directory's daemons worked outside it. It is kept
// in the data directory, so that kedge reset need not be told the options that
// the daemon was started with. Values are added and never taken out: what a
// former start used is to be cleaned too.
type footprint struct {
	CgroupRoots []string `json:"cgroupRoots,omitempty"`
	Kubeconfigs []string `json:"kubeconfigs,omitempty"`
}

func footprintFile(layout paths.Layout) string {
	return filepath.Join(layout.DataDir, "footprint.json")
}

// readFootprint returns an empty footprint where nothing was noted.
func readFootprint(layout paths.Layout) (footprint, error) {
	var f footprint
	data, err := os.ReadFile(footprintFile(layout))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		return footprint{}, fmt.Errorf("read what was made outside the data directory: %w", err)
	}
	return f, nil
}

func (f *footprint) add(cgroupRoot, kubeconfig string) {
	if cgroupRoot != "" && !slices.Contains(f.CgroupRoots, cgroupRoot) {
		f.CgroupRoots = append(f.CgroupRoots, cgroupRoot)
	}
	if kubeconfig != "" && !slices.Contains(f.Kubeconfigs, kubeconfig) {
		f.Kubeconfigs = append(f.Kubeconfigs, kubeconfig)
	}
}

// noteFootprint remembers a start's options. Empty ones are left out. A file
// that cannot be read is written anew: it must not keep a node from starting.
func noteFootprint(layout paths.Layout, cgroupRoot, kubeconfig string) error {
	f, err := readFootprint(layout)
	if err != nil {
		f = footprint{}
	}
	f.add(cgroupRoot, kubeconfig)
	data, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode the footprint: %w", err)
	}
	if _, err := fsx.WriteFileIfChanged(footprintFile(layout), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("note what is made outside the data directory: %w", err)
	}
	return nil
}
