package payload

import (
	"crypto/sha256"
	"io"
	"os"
)

// Append writes the launcher, the packed program and the trailer to out. The
// program itself is read once more for its digest. arch is its GOARCH.
func Append(out io.Writer, launcher, program, packed, arch string) error {
	t := Trailer{Arch: arch}
	hash := sha256.New()
	var err error
	if t.Size, err = copyFile(hash, program); err != nil {
		return err
	}
	t.SHA256 = [32]byte(hash.Sum(nil))
	if _, err := copyFile(out, launcher); err != nil {
		return err
	}
	if t.Packed, err = copyFile(out, packed); err != nil {
		return err
	}
	data, err := t.encode()
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}

func copyFile(w io.Writer, path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	return io.Copy(w, f)
}
