package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
)

const conflistName = "10-kedge.conflist"

// networkName is the CNI name of the pod network; host-local keeps the
// addresses of a network in a directory of this name.
const networkName = "kedge"

// conflist is the CNI configuration of the bridge, host-local and portmap
// plugins (containernetworking/plugins, documentation of each plugin).
func conflist(cfg Config, pods netip.Prefix, bridge Bridge) ([]byte, error) {
	type object = map[string]any
	list := object{
		"cniVersion": "1.0.0",
		"name":       networkName,
		"plugins": []any{
			object{
				"type":             "bridge",
				"bridge":           bridge.Name,
				"isGateway":        true,
				"isDefaultGateway": true,
				"ipMasq":           false,
				"portIsolation":    bridge.Isolated,
				"hairpinMode":      !bridge.Isolated,
				"mtu":              bridge.MTU,
				"ipam": object{
					"type":    "host-local",
					"dataDir": filepath.Join(cfg.StateDir, "addresses"),
					"ranges":  [][]object{{{"subnet": pods.String(), "gateway": bridge.Address.Addr().String()}}},
				},
			},
			object{
				"type":         "portmap",
				"backend":      "nftables",
				"capabilities": object{"portMappings": true},
			},
		},
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the CNI configuration: %w", err)
	}
	return append(text, '\n'), nil
}
