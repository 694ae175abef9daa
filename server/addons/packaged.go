package addons

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/kedge-io/kedge/api/edge/v1alpha1/crd"
	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

//go:embed packaged/*.yaml
var packagedFS embed.FS

// essential manifests cannot be disabled: without them no node works.
var essential = []string{"rbac"}

// switches are what --disable takes beside manifests.
var switches = []string{"load-balancer", "network-policy"}

// Packaged names what --disable takes: the manifests that kedge ships, and
// switches.
func Packaged() []string {
	names := slices.DeleteFunc(packagedNames(), func(n string) bool { return slices.Contains(essential, n) })
	names = append(names, switches...)
	slices.Sort(names)
	return names
}

func packagedNames() []string {
	entries, err := fs.ReadDir(packagedFS, "packaged")
	if err != nil {
		panic(err) // the folder is part of the binary
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// values are what the templates in packaged/ may use.
type values struct {
	ClusterDNS       netip.Addr
	AgentGroup       string
	KubeletClient    string
	AgentUserPrefix  string
	ServiceProxyName string
	// Directions are those in which a pod may have a guarantee.
	Directions []string
	// BandwidthDefinitions and FirewallDefinitions are YAML documents.
	BandwidthDefinitions string
	FirewallDefinitions  string
}

// packagedFile is where the manifest NAME is put below the folder.
func packagedFile(name string) string { return "kedge-" + name + ".yaml" }

// disabled tells whether the cluster does without a manifest. Guarantees go with
// bandwidth: the API server looks for its definitions every second.
func disabled(name string, disable []string) bool {
	return slices.Contains(disable, name) || name == "guarantees" && slices.Contains(disable, "bandwidth")
}

// writePackaged puts the shipped manifests into dir, takes disabled ones away
// and leaves those with a .skip neighbour alone.
func writePackaged(dir string, disable []string, v values) error {
	for _, name := range packagedNames() {
		path := filepath.Join(dir, packagedFile(name))
		if disabled(name, disable) {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("disable manifest %s: %w", name, err)
			}
			continue
		}
		if _, err := os.Lstat(path + ".skip"); err == nil {
			continue
		}
		raw, err := render(name, v)
		if err != nil {
			return err
		}
		if _, err := fsx.WriteFileIfChanged(path, raw, 0o600); err != nil {
			return fmt.Errorf("write manifest %s: %w", name, err)
		}
	}
	return nil
}

func render(name string, v values) ([]byte, error) {
	t, err := template.New(name+".yaml").Option("missingkey=error").ParseFS(packagedFS, "packaged/"+name+".yaml")
	if err != nil {
		return nil, fmt.Errorf("packaged manifest %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("packaged manifest %s: %w", name, err)
	}
	return b.Bytes(), nil
}

func defaultValues(dns netip.Addr) values {
	return values{
		ClusterDNS: dns, AgentGroup: pki.AgentGroup, AgentUserPrefix: pki.AgentClient("", wire.Pin{}).CommonName,
		KubeletClient: "system:kube-apiserver", ServiceProxyName: "kedge", Directions: []string{"egress", "ingress"},
		BandwidthDefinitions: crd.Bandwidth(), FirewallDefinitions: crd.Firewall(),
	}
}
