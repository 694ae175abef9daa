// Command mkimage makes a container image archive from local files, for
// kedge's own images, the demo and whoever has no registry:
//
//	mkimage -ref demo.local/app:1 -o app.tar -dir rootfs:/ -file bin/app:/app -entrypoint /app -port 8080/tcp
//
// The archive goes to <data-dir>/agent/images or to "kedge ctr images import".
// Equal files give an equal archive; see internal/ociimage.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/kedge-io/kedge/internal/ociimage"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "mkimage: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var img ociimage.Image
	var out string
	flags := flag.NewFlagSet("mkimage", flag.ExitOnError)
	flags.StringVar(&out, "o", "", "archive to write")
	flags.StringVar(&img.Ref, "ref", "", "full name of the image with a tag")
	flags.StringVar(&img.Arch, "arch", runtime.GOARCH, "architecture, a GOARCH")
	flags.StringVar(&img.User, "user", "", "uid, uid:gid or name that the program runs as")
	flags.StringVar(&img.WorkingDir, "workdir", "", "working folder of the program")
	list := func(to *[]string) func(string) error {
		return func(v string) error { *to = append(*to, v); return nil }
	}
	flags.Func("entrypoint", "program, then its fixed arguments (repeat)", list(&img.Entrypoint))
	flags.Func("cmd", "default argument (repeat)", list(&img.Cmd))
	flags.Func("env", "KEY=value (repeat)", list(&img.Env))
	flags.Func("port", "exposed port like 8080/tcp (repeat)", list(&img.Ports))
	flags.Func("dir", "SOURCE:/folder, copied with everything in it (repeat)", func(v string) error {
		src, dst, err := pair(v)
		if err != nil {
			return err
		}
		files, err := ociimage.FromDir(src, dst)
		img.Files = append(img.Files, files...)
		return err
	})
	flags.Func("file", "SOURCE:/path, copied with its permission bits (repeat)", func(v string) error {
		src, dst, err := pair(v)
		if err != nil {
			return err
		}
		st, err := os.Stat(src)
		if err != nil {
			return err
		}
		img.Files = append(img.Files, ociimage.File{Path: dst, Mode: st.Mode().Perm(), Source: src})
		return nil
	})
	flags.Func("link", "TARGET:/path, a symbolic link (repeat)", func(v string) error {
		target, dst, ok := strings.Cut(v, ":")
		if !ok {
			return fmt.Errorf("%q: want TARGET:/path", v)
		}
		img.Files = append(img.Files, ociimage.File{Path: dst, Mode: fs.ModeSymlink | 0o777, Link: target})
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if out == "" {
		return fmt.Errorf("-o is missing: name the archive to write")
	}
	digest, err := ociimage.WriteFile(out, img)
	if err != nil {
		return err
	}
	fmt.Printf("%s %s %s\n", out, img.Ref, digest)
	return nil
}

// pair splits SOURCE:/path at the last colon.
func pair(v string) (src, dst string, err error) {
	i := strings.LastIndexByte(v, ':')
	if i < 1 || !path.IsAbs(v[i+1:]) {
		return "", "", fmt.Errorf("%q: want SOURCE:/path", v)
	}
	return v[:i], v[i+1:], nil
}
