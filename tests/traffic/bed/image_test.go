package bed

import (
	"slices"
	"testing"
)

func TestLibrariesAreTheFilesThatAreThere(t *testing.T) {
	got, err := parseLDD(`	linux-vdso.so.1 (0x00007f033ae18000)
	libiperf.so.0 => /lib/x86_64-linux-gnu/libiperf.so.0 (0x00007f033add1000)
	/lib64/ld-linux-x86-64.so.2 (0x00007f033ae1a000)
`)
	if err != nil || !slices.Equal(got, []string{"/lib/x86_64-linux-gnu/libiperf.so.0", "/lib64/ld-linux-x86-64.so.2"}) {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"\tlibx.so => not found\n", "\tlinux-vdso.so.1 (0x1)\n"} {
		if got, err := parseLDD(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
