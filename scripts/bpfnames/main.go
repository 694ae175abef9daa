// Command bpfnames prints the names of BPF programs and maps in the kernel that
// begin with the given words, one a line as "program NAME" or "map NAME", each as
// often as it is there. It needs root.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kind is what the kernel numbers: commands of bpf(2) and where in its info
// (linux/bpf.h) the name is.
type kind struct {
	word         string
	next, open   uintptr
	size, nameAt int
}

var kinds = []kind{
	{"program", unix.BPF_PROG_GET_NEXT_ID, unix.BPF_PROG_GET_FD_BY_ID, 232, 64},
	{"map", unix.BPF_MAP_GET_NEXT_ID, unix.BPF_MAP_GET_FD_BY_ID, 80, 24},
}

func main() {
	for _, k := range kinds {
		names, err := k.names()
		if err != nil {
			fmt.Fprintln(os.Stderr, "bpfnames:", err)
			os.Exit(1)
		}
		for _, name := range names {
			for _, word := range os.Args[1:] {
				if strings.HasPrefix(name, word) {
					fmt.Println(k.word, name)
					break
				}
			}
		}
	}
}

func (k kind) names() ([]string, error) {
	var names []string
	id := uint32(0)
	for {
		attr := [3]uint32{id} // start_id, next_id, open_flags
		if err := bpf(k.next, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); errors.Is(err, unix.ENOENT) {
			return names, nil
		} else if err != nil {
			return nil, fmt.Errorf("list %ss: %w", k.word, err)
		}
		id = attr[1]
		name, err := k.name(id)
		if errors.Is(err, unix.ENOENT) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("look at %s %d: %w", k.word, id, err)
		}
		names = append(names, name)
	}
}

func (k kind) name(id uint32) (string, error) {
	attr := [3]uint32{id}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, k.open, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return "", errno
	}
	defer func() { _ = unix.Close(int(fd)) }()
	info := make([]byte, k.size)
	query := struct {
		fd, size uint32
		info     uint64
	}{uint32(fd), uint32(k.size), uint64(uintptr(unsafe.Pointer(&info[0])))}
	if err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&query), unsafe.Sizeof(query)); err != nil {
		return "", err
	}
	name, _, _ := bytes.Cut(info[k.nameAt:k.nameAt+unix.BPF_OBJ_NAME_LEN], []byte{0})
	return string(name), nil
}

func bpf(command uintptr, attr unsafe.Pointer, size uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size); errno != 0 {
		return errno
	}
	return nil
}
