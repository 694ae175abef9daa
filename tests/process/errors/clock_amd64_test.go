package errors

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

func stackPointer(pid int) (uintptr, error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return 0, fmt.Errorf("read registers: %w", err)
	}
	return uintptr(regs.Rsp), nil
}

// setClock replaces the answer if the system call that ends was about the wall clock.
func setClock(tid int) {
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(tid, &regs) != nil || regs.Orig_rax != unix.SYS_CLOCK_GETTIME || regs.Rdi != unix.CLOCK_REALTIME {
		return
	}
	const day = 24 * 60 * 60
	seconds, nanoseconds := bytesOf(day), bytesOf(0)
	_, _ = unix.PtracePokeData(tid, uintptr(regs.Rsi), seconds[:])
	_, _ = unix.PtracePokeData(tid, uintptr(regs.Rsi)+8, nanoseconds[:])
}

func nativeUint64(b [8]byte) uint64 { return binary.LittleEndian.Uint64(b[:]) }

func bytesOf(v uint64) (b [8]byte) {
	binary.LittleEndian.PutUint64(b[:], v)
	return b
}
