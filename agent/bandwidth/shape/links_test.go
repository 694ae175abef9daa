//go:build namespace

package shape

import (
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// byLink is the simplest classifier: a packet's class is that of its link.
type byLink struct{ loads int }

type linkSet struct {
	programs [2]*ebpf.Program // by direction
	tables   [2]*ebpf.Map     // link to priority
	ids      [2]uint32
}

func (b *byLink) Load() (Set, error) {
	b.loads++
	s := &linkSet{}
	for d := range s.programs {
		table, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 1024})
		if err != nil {
			return nil, err
		}
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: linkProgram(table.FD())})
		if err != nil {
			return nil, err
		}
		s.tables[d], s.programs[d] = table, program
		info, err := program.Info()
		if err != nil {
			return nil, err
		}
		id, _ := info.ID()
		s.ids[d] = uint32(id)
	}
	return s, nil
}

func linkProgram(table int) asm.Instructions {
	const priority, ifindex = 32, 40 // struct __sk_buff
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, ifindex, asm.Word),
		asm.StoreMem(asm.RFP, -4, asm.R2, asm.Word),
		asm.LoadMapPtr(asm.R1, table),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
		asm.StoreMem(asm.R6, priority, asm.R1, asm.Word),
		asm.Mov.Imm(asm.R0, -1),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("pass"),
		asm.Return(),
	}
}

func (b *byLink) Adopt([]uint32) (Set, error) { return nil, errors.New("always a new one") }

func (s *linkSet) direction(h Hook) model.Direction {
	if h == PodEgress || h == HostEgress {
		return model.Egress
	}
	return model.Ingress
}

func (s *linkSet) Program(h Hook) (int, uint32) {
	d := s.direction(h)
	return s.programs[d].FD(), s.ids[d]
}

func (s *linkSet) Update(u plan.Uplink) error {
	for _, d := range model.Directions {
		for _, p := range u.Pods {
			if err := s.tables[d].Put(uint32(p.Link), handle(p.Target.Class[d])); err != nil {
				return err
			}
		}
		if u.Index != 0 {
			if err := s.tables[d].Put(uint32(u.Index), handle(plan.MinorHost)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *linkSet) Differences(plan.Uplink) ([]string, error) { return nil, nil }

func (s *linkSet) Close() error {
	for d := range s.programs {
		_ = s.programs[d].Close()
		_ = s.tables[d].Close()
	}
	return nil
}
