package ociimage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Image is what an archive is made of.
type Image struct {
	// Ref is the full name with a tag, for example "registry.kedge.io/pause:1".
	Ref string
	// Arch is the GOARCH of the programs inside; the system is always linux.
	Arch string
	// Entrypoint and Cmd are the program and its arguments.
	Entrypoint, Cmd []string
	// Env holds KEY=value.
	Env []string
	// WorkingDir is absolute, or empty for the root.
	WorkingDir string
	// User is "uid", "uid:gid" or a name; empty means root.
	User string
	// Ports are the exposed ports as "8080/tcp".
	Ports []string
	// Labels end up in the image's configuration.
	Labels map[string]string
	// Files is the content of the root file system; missing parent folders are
	// made with the mode 0755.
	Files []File
}

// File is a regular file, a folder or a symbolic link of an image. Owner is
// always root.
type File struct {
	// Path is absolute inside the image.
	Path string
	// Mode is the type (regular, fs.ModeDir or fs.ModeSymlink) and permission
	// bits, and fs.ModeSticky where wanted.
	Mode fs.FileMode
	// Link is the target of a symbolic link.
	Link string
	// Data is the content of a regular file, unless Source is set.
	Data []byte
	// Source is the file on this machine to copy the content from.
	Source string
}

// FromDir lists everything below the folder dir as files below the absolute
// path at of an image, keeping permission bits and symbolic links. Devices,
// sockets and pipes are an error.
func FromDir(dir, at string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil || rel == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := File{Path: path.Join(at, filepath.ToSlash(rel)), Mode: info.Mode()}
		switch info.Mode().Type() {
		case 0:
			f.Source = p
		case fs.ModeDir:
		case fs.ModeSymlink:
			if f.Link, err = os.Readlink(p); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s is neither a file, a folder nor a symbolic link", p)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", dir, err)
	}
	return files, nil
}

// Validate returns everything that is wrong with the description, joined.
func (img Image) Validate() error {
	var errs []error
	name, tag, ok := cutTag(img.Ref)
	if !ok || name == "" || tag == "" || !strings.Contains(name, "/") {
		errs = append(errs, fmt.Errorf("image name %q: want a full name with a tag, like registry.example/app:1", img.Ref))
	}
	if img.Arch == "" {
		errs = append(errs, errors.New("image architecture is empty: want a GOARCH, like amd64"))
	}
	seen := map[string]bool{}
	for _, f := range img.Files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" {
			errs = append(errs, fmt.Errorf("image file %q: want a clean absolute path", f.Path))
		}
		if seen[f.Path] {
			errs = append(errs, fmt.Errorf("image file %q is there twice", f.Path))
		}
		seen[f.Path] = true
	}
	return errors.Join(errs...)
}

// cutTag splits a name at the tag's colon, which comes after the last slash.
func cutTag(ref string) (name, tag string, ok bool) {
	slash := strings.LastIndexByte(ref, '/')
	colon := strings.LastIndexByte(ref, ':')
	if colon < slash || colon < 0 {
		return ref, "", false
	}
	return ref[:colon], ref[colon+1:], true
}
