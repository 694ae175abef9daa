// Command mkbundle packs a folder into the runtime bundle that the kedge binary
// embeds: an archive bundle.tar.zst and its manifest.json, as the package
// agent/runtime/bundle reads them. Equal files give equal bytes. It needs the
// zstd program, whose highest levels no Go library has.
//
//	mkbundle -arch amd64 -from build/bundle/amd64/root -o build/bundle/amd64 runc=v1.4.3 cni=v1.9.1
package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kedge-io/kedge/agent/runtime/bundle"
)

func main() {
	arch := flag.String("arch", "amd64", "GOARCH of the programs")
	from := flag.String("from", "", "folder to pack")
	out := flag.String("o", "", "folder for the archive and the manifest")
	level := flag.Int("level", 19, "compression level of zstd, 1 to 19")
	flag.Parse()
	if err := run(*arch, *from, *out, *level, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "mkbundle: %v\n", err)
		os.Exit(1)
	}
}

func run(arch, from, out string, level int, versions []string) error {
	m := bundle.Manifest{Arch: arch, Versions: map[string]string{}}
	for _, v := range versions {
		name, version, ok := strings.Cut(v, "=")
		if !ok {
			return fmt.Errorf("version %q: want NAME=VERSION", v)
		}
		m.Versions[name] = version
	}
	var err error
	if m.Files, err = list(from); err != nil {
		return err
	}
	m.ID = m.ContentID()
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if _, err := bundle.ParseManifest(text); err != nil {
		return err
	}
	if err := pack(from, m, level, filepath.Join(out, "bundle.tar.zst")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "manifest.json"), append(text, '\n'), 0o644)
}

// list describes every file below root in the order of their paths.
func list(root string) ([]bundle.File, error) {
	var files []bundle.File
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f, err := describe(path, d)
		f.Path = filepath.ToSlash(rel)
		files = append(files, f)
		return err
	})
	return files, err
}

func describe(path string, d fs.DirEntry) (f bundle.File, err error) {
	if d.Type() == fs.ModeSymlink {
		f.Link, err = os.Readlink(path)
		return f, err
	}
	file, err := os.Open(path)
	if err != nil {
		return f, err
	}
	defer file.Close()
	hash := sha256.New()
	if f.Size, err = io.Copy(hash, file); err != nil {
		return f, err
	}
	f.SHA256 = hex.EncodeToString(hash.Sum(nil))
	f.Mode = 0o644
	if filepath.Base(filepath.Dir(path)) == "bin" {
		f.Mode = 0o755
	}
	return f, nil
}

// pack streams the files through zstd into the file out.
func pack(root string, m bundle.Manifest, level int, out string) error {
	// One thread: with more the result depends on their number. The default
	// window of level 19, 8 MiB, is also what unpacking needs in memory.
	zstd := exec.Command("zstd", "-"+strconv.Itoa(level), "-T1", "-q", "-f", "-o", out)
	zstd.Stderr = os.Stderr
	in, err := zstd.StdinPipe()
	if err != nil {
		return err
	}
	if err := zstd.Start(); err != nil {
		return fmt.Errorf("start zstd (make deps installs it): %w", err)
	}
	w := tar.NewWriter(in)
	for _, f := range m.Files {
		if err == nil {
			err = add(w, root, f)
		}
	}
	return errors.Join(err, w.Close(), in.Close(), zstd.Wait())
}

func add(w *tar.Writer, root string, f bundle.File) error {
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: f.Path, Mode: int64(f.Mode), Size: f.Size,
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	}
	if f.Link != "" {
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
		return w.WriteHeader(h)
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(root, f.Path))
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(w, file)
	return err
}
