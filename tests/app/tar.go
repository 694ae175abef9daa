package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// tarMain packs one file to standard output ("tar cf - FILE") or unpacks
// standard input ("tar -xmf - [-C DIR]"), the two ways kubectl cp calls tar.
func tarMain(args []string) error {
	dir, files, extract := "/", []string{}, false
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-C" && i+1 < len(args):
			i++
			dir = args[i]
		case a == "-xmf":
			extract = true
		case a == "-", a == "cf", strings.HasPrefix(a, "--no-same-"):
		default:
			files = append(files, a)
		}
	}
	if extract {
		return unpack(os.Stdin, dir)
	}
	if len(files) != 1 {
		return errors.New("want one file")
	}
	return pack(os.Stdout, files[0])
}

func pack(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", name)
	}
	t := tar.NewWriter(w)
	head := &tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()}
	if err := t.WriteHeader(head); err != nil {
		return err
	}
	if _, err := io.Copy(t, f); err != nil {
		return err
	}
	return t.Close()
}

func unpack(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	t := tar.NewReader(r)
	for {
		head, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if head.Typeflag != tar.TypeReg {
			continue
		}
		if err := unpackFile(root, filepath.Clean(head.Name), t); err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, name string, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// testMain is "test -d PATH".
func testMain(args []string) error {
	if len(args) != 2 || args[0] != "-d" {
		return errors.New("want -d PATH")
	}
	info, err := os.Stat(args[1])
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", args[1])
	}
	return nil
}
