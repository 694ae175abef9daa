package classify

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Limits of the tables of one uplink. A tree has at most 4093 leaves.
const (
	MaxPods       = 4096
	MaxContainers = 4096
	MaxPorts      = 8192
	// MaxReserve is for ports, those of DNS, NTP and DHCP included, and again
	// for cgroups.
	MaxReserve = 256
	MaxLocal   = 1024
	// maxFlows bounds what is remembered of pods that use services with a
	// backend here. Beyond, the longest unused is forgotten.
	maxFlows = 4096
)

// Names of the maps, at most 15 characters (BPF_OBJ_NAME_LEN).
const (
	mapSettings = "kedge_settings"
	mapLinks    = "kedge_links"
	mapCgroups  = "kedge_cgroups"
	mapPorts    = "kedge_ports"
	mapReserve  = "kedge_reserve"
	mapLocal    = "kedge_local"
	mapSockets  = "kedge_sockets"
	mapFlows    = "kedge_flows"
)

// mapNames are those that a set has on a kernel with these abilities.
func mapNames(a Abilities) []string {
	names := []string{mapSettings, mapLinks, mapCgroups, mapPorts, mapReserve, mapLocal, mapFlows}
	if a.remember() {
		names = append(names, mapSockets)
	}
	return names
}

// settings is the only value of its map. The minors are what target holds, and
// 0 where host processes do not pass a tree.
type settings struct {
	Flags uint32
	// Index is the uplink's.
	Index   uint32
	Host    [2]uint32
	Control [2]uint32
	Names   [2]uint32
}

// Flags of settings.
const (
	// askRoutes: only packets that the routes send over this uplink are its.
	askRoutes = 1 << iota
	// hostPorts: there are entries in the table of ports for pod 0.
	hostPorts
)

// linkValue is what is known of the pod at a link. Its key is the link's index.
type linkValue struct {
	Pod, Flags uint32
	Targets    [2]target
	NetnsID    uint32
}

// Flags of linkValue.
const (
	// sendersKnown and receiversKnown: there are entries in the table of cgroups
	// for the pod, and a namespace to look for receivers.
	sendersKnown = 1 << iota
	receiversKnown
	// portsKnown: there are entries in the table of ports.
	portsKnown
)

// target has the minor of the uplink's class in its lower half and that of what
// stays on the node in its upper half.
type target uint32

const localShift = 16

func newTarget(class, local uint16) target { return target(class) | target(local)<<localShift }

// cgroupValue is what is known of the processes in a cgroup2 folder. Its key is
// the folder's identity.
type cgroupValue struct {
	// Pod is 0 in the host's network.
	Pod, Kind uint32
	Targets   [2]target
}

// Kinds of cgroupValue.
const (
	ofContainer = iota
	ofReserve
)

// portKey is a local port of a pod, or of the host for pod 0.
type portKey struct{ Pod, Port uint32 }

// portNumber is the protocol in the upper half and the port in the lower one.
func portNumber(protocol uint8, number uint16) uint32 { return uint32(protocol)<<16 | uint32(number) }

type portValue [2]target

// Values of the table of reserve ports, whose key is a portNumber.
const (
	reserveRemote = 1 << iota // the other end has the port
	reserveLocal              // the host has it
	reserveNames              // it is one of names, not of control
)

// prefix is the key of an LPM trie (linux/bpf.h, struct bpf_lpm_trie_key).
type prefix struct {
	Bits uint32
	Addr [4]byte
}

// Values of the table of local prefixes. Behind the address of a service may be
// a pod here or elsewhere; own services are those that the host answers itself.
const (
	ofPods = 1 + iota
	ofHost
	ofServices
	ofOwnServices
)

// flagNoPrealloc is BPF_F_NO_PREALLOC: an edge node has few pods, and a trie
// must have it.
const flagNoPrealloc = 1

// flagClone is BPF_F_CLONE: accepted sockets remember what the listener does.
const flagClone = 1 << 9

// mapSpecs has room for the old entries and the new ones side by side. The
// sizes are those of the types above.
func mapSpecs() map[string]*ebpf.MapSpec {
	hash := func(name string, key, value, limit uint32) *ebpf.MapSpec {
		return &ebpf.MapSpec{Name: name, Type: ebpf.Hash, KeySize: key, ValueSize: value, MaxEntries: 2 * limit, Flags: flagNoPrealloc}
	}
	local := hash(mapLocal, 8, 4, MaxLocal)
	local.Type = ebpf.LPMTrie
	return map[string]*ebpf.MapSpec{
		mapSettings: {Name: mapSettings, Type: ebpf.Array, KeySize: 4, ValueSize: 32, MaxEntries: 1},
		mapLinks:    hash(mapLinks, 4, 20, MaxPods),
		mapCgroups:  hash(mapCgroups, 8, 16, MaxContainers+MaxReserve),
		mapPorts:    hash(mapPorts, 8, 8, MaxPorts),
		mapReserve:  hash(mapReserve, 4, 4, MaxReserve),
		mapLocal:    local,
		mapFlows:    {Name: mapFlows, Type: ebpf.LRUHash, KeySize: 8, ValueSize: flowSize, MaxEntries: maxFlows},
		// Part of each socket, and gone with it: the cgroup that it sent from.
		mapSockets: {
			Name: mapSockets, Type: ebpf.SkStorage, KeySize: 4, ValueSize: 8, Flags: flagNoPrealloc | flagClone,
			Key: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}, Value: &btf.Int{Name: "u64", Size: 8},
		},
	}
}
