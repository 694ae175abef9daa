package classify

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// license lets a program use helpers that the kernel reserves for programs under
// the GPL, of which bpf_fib_lookup is one.
const license = "Dual BSD/GPL"

// versionDigits are hexadecimal; with them a name has its 15 characters.
const versionDigits = 7

// programs are the four for a kernel with these abilities. Their names end in a
// version, which is a hash of all of their instructions and maps: two programs
// of one name do the same.
func programs(a Abilities) ([hooks]*ebpf.ProgramSpec, error) {
	var out [hooks]*ebpf.ProgramSpec
	sum := sha256.New()
	for _, name := range mapNames(a) {
		fmt.Fprintln(sum, name, mapSpecs()[name].String())
	}
	for _, h := range Hooks {
		out[h] = &ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: license, Instructions: instructions(h, a)}
		// Resolving the jumps is part of it.
		if err := out[h].Instructions.Marshal(sum, order()); err != nil {
			return out, fmt.Errorf("assemble the program for %s: %w", h, err)
		}
	}
	version := hex.EncodeToString(sum.Sum(nil))[:versionDigits]
	for _, h := range Hooks {
		out[h].Name = fmt.Sprintf("kedge_%d_%s", h, version)
	}
	return out, nil
}

func order() binary.ByteOrder {
	if nativeLittle {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

func instructions(h Hook, a Abilities) asm.Instructions {
	if h == PodEgress || h == PodIngress {
		return podProgram(h.Direction(), a)
	}
	return hostProgram(h.Direction(), a)
}
