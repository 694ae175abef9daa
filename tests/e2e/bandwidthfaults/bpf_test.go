package bandwidthfaults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/kedge-io/kedge/internal/testx"
)

// objects are BPF programs and maps by the kernel's numbers, which it never gives again. It has one
// list for all hosts of a laboratory, so those of this host are remembered where its filters name
// them.
type objects struct {
	programs map[ebpf.ProgramID]bool
	maps     map[ebpf.MapID]bool
}

// attached prints all filters of a host; tc shows the number of a program as "id 12".
const attached = `for d in $(ls /sys/class/net); do
	for hook in ingress egress; do tc filter show dev $d $hook 2>/dev/null; done
done`

var programID = regexp.MustCompile(`\bid (\d+) name kedge_`)

// remember adds the programs and maps that the host's filters use now.
func (s *scene) remember(t *testing.T) {
	t.Helper()
	for _, match := range programID.FindAllStringSubmatch(s.run(t, attached), -1) {
		n, err := strconv.ParseUint(match[1], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		id := ebpf.ProgramID(n)
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // it was replaced meanwhile
		}
		if info, err := p.Info(); err == nil {
			s.seen.programs[id] = true
			maps, _ := info.MapIDs()
			for _, m := range maps {
				s.seen.maps[m] = true
			}
		}
		_ = p.Close()
	}
	if len(s.seen.programs) == 0 || len(s.seen.maps) == 0 {
		t.Fatalf("%d programs and %d maps: the shaping has none", len(s.seen.programs), len(s.seen.maps))
	}
}

// there counts those that the kernel still has.
func (o objects) there() (programs, maps int, err error) {
	for id := range o.programs {
		p, err := ebpf.NewProgramFromID(id)
		if err == nil {
			programs++
			_ = p.Close()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return 0, 0, err
		}
	}
	for id := range o.maps {
		m, err := ebpf.NewMapFromID(id)
		if err == nil {
			maps++
			_ = m.Close()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return 0, 0, err
		}
	}
	return programs, maps, nil
}

// waitGone waits until none is there. The kernel frees them some time after their last user.
func (o objects) waitGone(t *testing.T) {
	t.Helper()
	t.Logf("%d programs and %d maps were seen", len(o.programs), len(o.maps))
	testx.Eventually(t, time.Minute, "the BPF programs and maps are gone", func(context.Context) error {
		programs, maps, err := o.there()
		if err == nil && programs+maps > 0 {
			err = fmt.Errorf("%d programs and %d maps are there", programs, maps)
		}
		return err
	})
}
