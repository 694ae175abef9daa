//go:build linux && amd64

package main

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

// Types of the auxiliary vector (getauxval(3)).
const (
	auxNull, auxIgnore = 0, 1
	auxVDSO            = 33 // AT_SYSINFO_EHDR
)

// hideVDSO waits for the second exec of the traced process, which is that of the
// program, takes the vDSO away from what it finds on its stack, and lets it go.
func hideVDSO(pid int) error {
	for execs := 0; execs < 2; {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
			return fmt.Errorf("wait for the exec: %w", err)
		}
		if !status.Stopped() {
			return fmt.Errorf("it ended before its exec: %v", status)
		}
		pass := int(status.StopSignal())
		if status.StopSignal() == syscall.SIGTRAP {
			execs, pass = execs+1, 0
		}
		if execs == 2 {
			break
		}
		if err := syscall.PtraceCont(pid, pass); err != nil {
			return fmt.Errorf("let it go on to its exec: %w", err)
		}
	}
	if err := ignoreVDSO(pid); err != nil {
		return err
	}
	return syscall.PtraceDetach(pid)
}

func ignoreVDSO(pid int) error {
	var registers syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(pid, &registers); err != nil {
		return fmt.Errorf("read its registers: %w", err)
	}
	at := uintptr(registers.Rsp)
	read := func() (uint64, error) {
		var word [8]byte
		_, err := syscall.PtracePeekData(pid, at, word[:])
		at += 8
		return binary.LittleEndian.Uint64(word[:]), err
	}
	if _, err := read(); err != nil { // argc
		return fmt.Errorf("read its stack: %w", err)
	}
	for range 2 { // argv and envp end with a zero each
		for {
			word, err := read()
			if err != nil {
				return fmt.Errorf("read its stack: %w", err)
			}
			if word == 0 {
				break
			}
		}
	}
	for {
		kind, err := read()
		if err != nil || kind == auxNull {
			return err
		}
		if kind == auxVDSO {
			var word [8]byte
			binary.LittleEndian.PutUint64(word[:], auxIgnore)
			if _, err := syscall.PtracePokeData(pid, at-8, word[:]); err != nil {
				return fmt.Errorf("change its auxiliary vector: %w", err)
			}
		}
		at += 8
	}
}
