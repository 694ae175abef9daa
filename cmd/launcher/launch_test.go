package main

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestLauncherBecomesTheProgram(t *testing.T) {
	h := newHost(t, own)
	cmd := h.command("server", "--debug", "a b", "")
	cmd.Args[0] = "kubectl" // called by the name of a link
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	must(t, cmd.Wait())
	for _, want := range []string{
		`"Argv":["kubectl","server","--debug","a b",""]`, `"Launcher":"` + h.release + `"`, `"Path":"` + h.slot().program() + `"`,
	} {
		if !strings.Contains(line, want) {
			t.Errorf("the program says %s, want %s", line, want)
		}
	}
	if r := h.good("version"); r.Pid == 0 {
		t.Errorf("got %+v", r)
	}
}

func TestProgramHasThePidOfTheLauncher(t *testing.T) {
	h := newHost(t, "one")
	cmd := h.command("version")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var r report
	must(t, decode(out, &r))
	must(t, cmd.Wait())
	if r.Pid != cmd.Process.Pid {
		t.Errorf("the program has the pid %d, the launcher had %d", r.Pid, cmd.Process.Pid)
	}
}

func TestSecondStartUnpacksNothing(t *testing.T) {
	h := newHost(t, "one")
	h.good()
	before := try(os.Stat(h.slot().program()))
	// A payload of zeros could not be unpacked.
	spoil(t, h.release)
	h.good()
	if after := try(os.Stat(h.slot().program())); !os.SameFile(before, after) {
		t.Error("the program was unpacked again")
	}
	if got, want := names(h.data), ".lock "+h.slot().want.ID(); got != want {
		t.Errorf("the folder of slots holds %q, want %q", got, want)
	}
}

// spoil overwrites the end of the payload.
func spoil(t *testing.T, release string) {
	t.Helper()
	data := try(os.ReadFile(release))
	const trailer = 80
	for i := len(data) - trailer - 50; i < len(data)-trailer; i++ {
		data[i] = 0
	}
	must(t, os.WriteFile(release+".new", data, 0o755))
	must(t, os.Rename(release+".new", release))
}

func TestFirstStartsAtOnceUnpackOnce(t *testing.T) {
	h := newHost(t, large)
	var wg sync.WaitGroup
	inodes := make(chan uint64, 6)
	for range cap(inodes) {
		wg.Go(func() {
			if _, stderr, err := h.start(); err != nil {
				t.Errorf("%v: %s", err, stderr)
			}
			if st, ok := try(os.Stat(h.slot().program())).Sys().(*syscall.Stat_t); ok {
				inodes <- st.Ino
			}
		})
	}
	wg.Wait()
	close(inodes)
	var all []uint64
	for ino := range inodes {
		all = append(all, ino)
	}
	if len(slices.Compact(all)) != 1 {
		t.Errorf("the program was replaced in between: inodes %v", all)
	}
	if got, want := names(h.data), ".lock "+h.slot().want.ID(); got != want {
		t.Errorf("the folder of slots holds %q, want %q", got, want)
	}
}

func TestKillInTheMiddleOfUnpackingHarmsNothing(t *testing.T) {
	h := newHost(t, large)
	const rounds = 4
	halves := 0
	for range rounds {
		must(t, os.RemoveAll(h.data))
		cmd := h.command()
		must(t, cmd.Start())
		for temp := ""; temp == ""; {
			found, _ := filepath.Glob(filepath.Join(h.data, ".tmp-*", "bin", "kedge"))
			if temp = strings.Join(found, " "); temp == "" && h.slot().ready() == nil {
				break
			}
		}
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		if strings.Contains(names(h.data), ".tmp-") {
			halves++
		}
		h.good()
		if got, want := names(h.data), ".lock "+h.slot().want.ID(); got != want {
			t.Fatalf("the folder of slots holds %q, want %q", got, want)
		}
	}
	t.Logf("%d of %d kills came in the middle", halves, rounds)
}

func TestWhatADeadLauncherLeftIsRemovedAndNotUsed(t *testing.T) {
	h := newHost(t, "one")
	half := filepath.Join(h.data, ".tmp-1", "bin")
	must(t, os.MkdirAll(half, 0o755))
	must(t, os.WriteFile(filepath.Join(half, "kedge"), []byte("half"), 0o755))
	h.good()
	if got, want := names(h.data), ".lock "+h.slot().want.ID(); got != want {
		t.Errorf("the folder of slots holds %q, want %q", got, want)
	}
}

func TestInterruptLeavesNothing(t *testing.T) {
	h := newHost(t, large)
	cmd := h.command()
	must(t, cmd.Start())
	for {
		if found, _ := filepath.Glob(filepath.Join(h.data, ".tmp-*", "bin")); len(found) > 0 || h.slot().ready() == nil {
			break
		}
	}
	must(t, cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait()
	if strings.Contains(names(h.data), ".tmp-") {
		t.Errorf("the folder of slots holds %q", names(h.data))
	}
}
