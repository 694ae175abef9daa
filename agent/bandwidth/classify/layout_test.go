package classify

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
)

// described builds BTF by hand.
type described struct{ types, names []byte }

func (d *described) name(s string) uint32 {
	at := uint32(len(d.names))
	d.names = append(append(d.names, s...), 0)
	return at
}

func (d *described) add(name string, kind, members uint32, rest ...uint32) {
	for _, n := range append([]uint32{d.name(name), kind<<24 | members, 0}, rest...) {
		d.types = binary.NativeEndian.AppendUint32(d.types, n)
	}
}

// object adds a struct whose members are pairs of name and offset in bytes.
func (d *described) object(name string, members ...any) {
	var rest []uint32
	for i := 0; i < len(members); i += 2 {
		rest = append(rest, d.name(members[i].(string)), 0, uint32(members[i+1].(int))*8)
	}
	d.add(name, kindStruct, uint32(len(members)/2), rest...)
}

func (d *described) bytes() []byte {
	out := binary.NativeEndian.AppendUint16(nil, btfMagic)
	out = append(out, 1, 0)
	for _, n := range []int{btfHeaderSize, 0, len(d.types), len(d.types), len(d.names)} {
		out = binary.NativeEndian.AppendUint32(out, uint32(n))
	}
	return append(append(out, d.types...), d.names...)
}

func sampleTypes(cast string) []byte {
	d := &described{names: []byte{0}}
	d.add("int", 1, 0, 32)
	d.object("cgroup_subsys_state", "cgroup", 0, "parent", 184)
	d.add("colours", 6, 2, 1, 2, 3, 4)
	d.object("cgroup", "self", 0, "kn", 256)
	d.add("", 3, 0, 1, 1, 8)
	d.object("kernfs_node", "id", 96)
	d.object("sock_cgroup_data", "cgroup", 8)
	d.object("sock", "__sk_common", 0, "sk_cgrp_data", 672)
	d.add("", 13, 1, 0, 1)
	d.add(cast, kindFunction, 0)
	return d.bytes()
}

func TestLayoutIsFoundInTheDescriptionOfTheKernel(t *testing.T) {
	got, err := findLayout(sampleTypes("bpf_rdonly_cast"))
	want := layout{cast: 10, sock: 8, cgroup: 4, group: 680, parent: 184, folder: 256, identity: 96}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestLayoutIsNotFoundInOtherDescriptions(t *testing.T) {
	whole := sampleTypes("bpf_rdonly_cast")
	for what, raw := range map[string][]byte{
		"nothing": nil, "an older kernel's": sampleTypes("bpf_other"), "no BTF": make([]byte, 100),
		"half of one": whole[:len(whole)/2], "one without names": whole[:len(whole)-30],
	} {
		if got, err := findLayout(raw); !errors.Is(err, errNoLayout) || got.known() {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
}

func FuzzFindLayout(f *testing.F) {
	f.Add(sampleTypes("bpf_rdonly_cast"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if l, err := findLayout(raw); err == nil && !l.known() {
			t.Error("neither a layout nor an error")
		}
	})
}

func BenchmarkReadLayout(b *testing.B) {
	if _, err := os.Stat(kernelTypes); err != nil {
		b.Skip("missing: ", kernelTypes)
	}
	for b.Loop() {
		if _, err := readLayout(); err != nil {
			b.Fatal(err)
		}
	}
}
