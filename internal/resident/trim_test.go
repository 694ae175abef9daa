package resident

import (
	"slices"
	"strings"
	"testing"
)

const smaps = `00400000-02000000 r-xp 00000000 fe:00 77 /opt/kedge
Rss:               20000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
02000000-04000000 r--p 01c00000 fe:00 77 /opt/kedge
Anonymous:             0 kB
04000000-04100000 rw-p 03c00000 fe:00 77 /opt/kedge
Anonymous:           100 kB
04100000-04200000 r--p 03d00000 fe:00 77 /opt/kedge
Anonymous:             4 kB
04200000-04300000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f000000-7f100000 r-xp 00000000 fe:00 78 /lib/libc.so.6
Anonymous:             0 kB
7ff00000-7ff01000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
`

func TestOnlyUnmodifiedReadOnlyPagesOfTheProgramAreDropped(t *testing.T) {
	got, err := clean(strings.NewReader(smaps), "/opt/kedge")
	if err != nil {
		t.Fatal(err)
	}
	if want := []mapping{{0x400000, 0x2000000}, {0x2000000, 0x4000000}}; !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestProgramRunsOnAfterTrim(t *testing.T) {
	if err := Trim(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Repeat("x", 3); got != "xxx" {
		t.Error(got)
	}
}
