package classify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// kernelTypes is where the kernel describes its own (CONFIG_DEBUG_INFO_BTF).
const kernelTypes = "/sys/kernel/btf/vmlinux"

// layout is where this kernel has the cgroup of a socket. The zero value is not
// known. Reading just these from the description takes 10 ms, all of it 0.3 s
// and 37 MB.
type layout struct {
	// cast is the number of bpf_rdonly_cast (since 6.2), sock and cgroup are
	// those of the structs.
	cast, sock, cgroup int32
	// Offsets in bytes: of the cgroup in struct sock, of its parent and of its
	// folder in struct cgroup, of the identity in struct kernfs_node.
	group, parent, folder, identity int16
}

func (l layout) known() bool { return l.cast != 0 }

var errNoLayout = errors.New("the kernel does not describe the cgroups of sockets")

// readLayout reads what the running kernel says of itself.
func readLayout() (layout, error) {
	raw, err := os.ReadFile(kernelTypes)
	if err != nil {
		return layout{}, fmt.Errorf("%w (CONFIG_DEBUG_INFO_BTF): %w", errNoLayout, err)
	}
	return findLayout(raw)
}

func findLayout(raw []byte) (layout, error) {
	types, err := parseTypes(raw)
	if err != nil {
		return layout{}, err
	}
	l := layout{
		cast: types.function("bpf_rdonly_cast"), sock: types.structs["sock"].id, cgroup: types.structs["cgroup"].id,
	}
	for _, path := range []struct {
		to    *int16
		steps []string // struct, member, ...
	}{
		{&l.group, []string{"sock", "sk_cgrp_data", "sock_cgroup_data", "cgroup"}},
		{&l.parent, []string{"cgroup", "self", "cgroup_subsys_state", "parent"}},
		{&l.folder, []string{"cgroup", "kn"}},
		{&l.identity, []string{"kernfs_node", "id"}},
	} {
		for i := 0; i < len(path.steps); i += 2 {
			at, ok := types.structs[path.steps[i]].members[path.steps[i+1]]
			if !ok {
				return layout{}, fmt.Errorf("%w: struct %s has no %s", errNoLayout, path.steps[i], path.steps[i+1])
			}
			*path.to += at
		}
	}
	// A parent is reached as the css within it.
	if l.cast == 0 || types.structs["cgroup"].members["self"] != 0 {
		return layout{}, fmt.Errorf("%w: bpf_rdonly_cast is missing (since 6.2)", errNoLayout)
	}
	return l, nil
}

// description is the part of BTF (kernel documentation, bpf/btf) that is looked
// for here.
type description struct {
	structs   map[string]structure
	functions map[string]int32
}

type structure struct {
	id      int32
	members map[string]int16 // offsets in bytes
}

func (d description) function(name string) int32 { return d.functions[name] }

// Kinds of types in BTF.
const (
	kindStruct   = 4
	kindFunction = 12
	kindLast     = 19
)

// tail is how many bytes follow the type's 12: some, and some for each member.
var tail = [kindLast + 1]struct{ fixed, each uint32 }{
	1: {4, 0}, 3: {12, 0}, kindStruct: {0, 12}, 5: {0, 12}, 6: {0, 8}, 13: {0, 8}, 14: {4, 0}, 15: {0, 12}, 17: {4, 0}, 19: {0, 12},
}

const (
	btfMagic      = 0xeb9f
	btfHeaderSize = 24
	btfTypeSize   = 12
	btfMemberSize = 12
	btfOffsetMask = 1<<24 - 1
)

func parseTypes(raw []byte) (description, error) {
	u32 := binary.NativeEndian.Uint32
	d := description{structs: map[string]structure{}, functions: map[string]int32{}}
	if len(raw) < btfHeaderSize || binary.NativeEndian.Uint16(raw) != btfMagic {
		return d, fmt.Errorf("%w: %s is not BTF", errNoLayout, kernelTypes)
	}
	section := func(at int) ([]byte, bool) {
		from := uint64(u32(raw[4:])) + uint64(u32(raw[at:]))
		to := from + uint64(u32(raw[at+4:]))
		if to > uint64(len(raw)) {
			return nil, false
		}
		return raw[from:to], true
	}
	types, ok1 := section(8)
	names, ok2 := section(16)
	if !ok1 || !ok2 {
		return d, fmt.Errorf("%w: %s is cut off", errNoLayout, kernelTypes)
	}
	for id := int32(1); len(types) >= btfTypeSize; id++ {
		name, info := nameAt(names, u32(types)), u32(types[4:])
		kind, members := info>>24&0x1f, info&0xffff
		if kind > kindLast {
			return d, fmt.Errorf("%w: BTF of kind %d", errNoLayout, kind)
		}
		size := btfTypeSize + tail[kind].fixed + tail[kind].each*members
		if uint64(size) > uint64(len(types)) {
			break
		}
		switch {
		case kind == kindStruct && members > 0 && wantedStruct(name):
			if _, twice := d.structs[string(name)]; !twice {
				d.structs[string(name)] = structure{id, membersOf(types[btfTypeSize:size], names)}
			}
		case kind == kindFunction && string(name) == "bpf_rdonly_cast":
			d.functions[string(name)] = id
		}
		types = types[size:]
	}
	return d, nil
}

func wantedStruct(name []byte) bool {
	switch string(name) {
	case "sock", "sock_cgroup_data", "cgroup", "cgroup_subsys_state", "kernfs_node":
		return true
	}
	return false
}

func membersOf(raw, names []byte) map[string]int16 {
	out := map[string]int16{}
	for ; len(raw) >= btfMemberSize; raw = raw[btfMemberSize:] {
		bits := binary.NativeEndian.Uint32(raw[8:]) & btfOffsetMask
		if bytes := bits / 8; bytes <= 1<<15-1 {
			out[string(nameAt(names, binary.NativeEndian.Uint32(raw)))] = int16(bytes)
		}
	}
	return out
}

func nameAt(names []byte, at uint32) []byte {
	if uint64(at) >= uint64(len(names)) {
		return nil
	}
	name, _, _ := bytes.Cut(names[at:], []byte{0})
	return name
}
