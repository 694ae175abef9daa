// Command mkrelease puts a release file together: the launcher, the program,
// compressed, and the trailer of internal/payload. Equal programs give equal
// bytes. It needs the zstd program, whose highest levels no Go library has.
//
//	mkrelease -arch amd64 -launcher build/dist/amd64/launcher -program bin/kedge -level 19 -o dist/kedge-linux-amd64
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/kedge-io/kedge/internal/payload"
)

func main() {
	arch := flag.String("arch", "amd64", "GOARCH of the programs")
	launcher := flag.String("launcher", "", "program of cmd/launcher")
	program := flag.String("program", "", "program of cmd/kedge")
	level := flag.Int("level", 19, "compression level of zstd, 1 to 19")
	out := flag.String("o", "", "file to write")
	flag.Parse()
	if err := run(*arch, *launcher, *program, *level, *out); err != nil {
		fmt.Fprintf(os.Stderr, "mkrelease: %v\n", err)
		os.Exit(1)
	}
}

// run writes beside out first: an interrupted build leaves no half file that
// looks like a whole one.
func run(arch, launcher, program string, level int, out string) (err error) {
	packed, temp := out+".zst", out+".tmp"
	defer func() { err = errors.Join(err, remove(packed), remove(temp)) }()
	if err := pack(program, level, packed); err != nil {
		return err
	}
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	err = payload.Append(file, launcher, program, packed, arch)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(temp, out)
}

// pack compresses the program. The window is stated so that no level exceeds
// what the launcher accepts.
func pack(program string, level int, out string) error {
	zstd := exec.Command("zstd", "-"+strconv.Itoa(level), "--zstd=wlog=23", "-T2", "-q", "-f", "-o", out, program)
	zstd.Stderr = os.Stderr
	if err := zstd.Run(); err != nil {
		return fmt.Errorf("zstd of %s (make deps installs it): %w", program, err)
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
