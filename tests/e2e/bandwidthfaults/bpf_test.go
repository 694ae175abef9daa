package bandwidthfaults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/kedge-io/kedge/internal/testx"
)

// objects counts the BPF programs and maps of kedge on the whole machine: the kernel has one list
// for all hosts of a laboratory.
type objects struct{ programs, maps int }

func ours(name string) bool { return strings.HasPrefix(name, "kedge_") }

func count() (o objects, err error) {
	for id, err := ebpf.ProgramGetNextID(0); ; id, err = ebpf.ProgramGetNextID(id) {
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return o, err
		}
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // it went meanwhile
		}
		if info, err := p.Info(); err == nil && ours(info.Name) {
			o.programs++
		}
		_ = p.Close()
	}
	for id, err := ebpf.MapGetNextID(0); ; id, err = ebpf.MapGetNextID(id) {
		if errors.Is(err, fs.ErrNotExist) {
			return o, nil
		}
		if err != nil {
			return o, err
		}
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			continue
		}
		if info, err := m.Info(); err == nil && ours(info.Name) {
			o.maps++
		}
		_ = m.Close()
	}
}

func programsAndMaps(t *testing.T) objects {
	t.Helper()
	o, err := count()
	if err != nil {
		t.Fatal(err)
	}
	if o.programs == 0 || o.maps == 0 {
		t.Fatalf("%+v: the shaping has none", o)
	}
	t.Logf("%d programs and %d maps", o.programs, o.maps)
	return o
}

// noMoreThan waits until there are not more. The kernel frees them some time after their last user.
func noMoreThan(t *testing.T, before objects) {
	t.Helper()
	testx.Eventually(t, time.Minute, "BPF programs and maps are as many as before", func(context.Context) error {
		o, err := count()
		if err == nil && (o.programs > before.programs || o.maps > before.maps) {
			err = fmt.Errorf("%+v, before %+v", o, before)
		}
		return err
	})
}
