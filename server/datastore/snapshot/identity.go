package snapshot

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// workFactor is log2 of scrypt's cost: 4 MiB of memory and some 10 ms. More would
// protect a password that people choose; the token has 134 random bits, which no
// stretching makes safer, and age's own 18 takes 256 MiB, which small boards lack.
const workFactor = 12

// maxIdentity bounds the files of an identity together, in bytes. Keys and
// certificates are below 1 MiB; the rest is for manifests.
const maxIdentity = 64 << 20

// identityPaths are what is saved below <data>/server besides the database:
// files, and folders with all in them. What does not exist is passed over.
var identityPaths = []string{
	"tls", "cred", // authorities, keys, encryption configuration
	"db/volatile.rev", // revisions that the volatile database has reserved
	"recovery-token",
	"manifests",    // without them the objects that they made would be pruned
	"addresslists", // last good copies, until they can be fetched again
}

// File is one file of an identity.
type File struct {
	// Path is relative to <data>/server, with slashes, and stays inside of it.
	Path string
	Mode fs.FileMode
	Data []byte
}

// Identity is what makes a server the server of its cluster, besides the
// database.
type Identity []File

// collectIdentity reads the files below server, the folder <data>/server.
func collectIdentity(server string) (Identity, error) {
	var id Identity
	var sum int64
	for _, p := range identityPaths {
		// A folder may lie elsewhere.
		root, err := filepath.EvalSymlinks(filepath.Join(server, p))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("save the identity of the server: %w", err)
		}
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			// What was renamed or removed meanwhile is not there.
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			// A leading dot marks files that are being written.
			if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
				return err
			}
			f, err := readIdentityFile(p, root, path)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoFile) {
				return nil
			}
			if sum += int64(len(f.Data)); err == nil && sum > maxIdentity {
				err = fmt.Errorf("%s: keys and manifests together exceed %d MiB: keep large files elsewhere", path, int64(maxIdentity)>>20)
			}
			id = append(id, f)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("save the identity of the server: %w", err)
		}
	}
	return id, nil
}

// errNoFile tells of a socket, or of a link to a folder.
var errNoFile = errors.New("no regular file")

// readIdentityFile reads a file below root, the place of the folder or file name.
// A link is what it leads to: so the server reads it, too.
func readIdentityFile(name, root, path string) (File, error) {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return File{}, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	if !st.Mode().IsRegular() {
		return File{}, errNoFile
	}
	if st.Size() > maxIdentity {
		return File{}, fmt.Errorf("%s has %d MiB: keep large files elsewhere", path, st.Size()>>20)
	}
	data, err := os.ReadFile(path)
	return File{Path: filepath.ToSlash(filepath.Join(name, rel)), Mode: st.Mode().Perm(), Data: data}, err
}

// seal encrypts id so that only the token opens it.
func (id Identity) seal(t Token) ([]byte, error) {
	recipient, err := age.NewScryptRecipient(t.Secret)
	if err != nil {
		return nil, fmt.Errorf("seal identity: %w", err)
	}
	recipient.SetWorkFactor(workFactor)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipient)
	if err != nil {
		return nil, fmt.Errorf("seal identity: %w", err)
	}
	// Before it is sealed, because what is sealed looks random.
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
	if err != nil {
		return nil, fmt.Errorf("seal identity: %w", err)
	}
	tw := tar.NewWriter(z)
	for _, f := range id {
		head := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: int64(f.Mode.Perm()), Size: int64(len(f.Data))}
		if err := tw.WriteHeader(head); err != nil {
			return nil, fmt.Errorf("seal identity: %w", err)
		}
		if _, err := tw.Write(f.Data); err != nil {
			return nil, fmt.Errorf("seal identity: %w", err)
		}
	}
	if err := errors.Join(tw.Close(), z.Close(), w.Close()); err != nil {
		return nil, fmt.Errorf("seal identity: %w", err)
	}
	return out.Bytes(), nil
}

// ErrWrongToken tells that a token does not open an identity.
var ErrWrongToken = errors.New("the recovery token does not open this snapshot")

// OpenIdentity opens what [Archive.Extract] returned sealed. Its errors wrap [ErrWrongToken] or
// [ErrDamaged].
func OpenIdentity(sealed []byte, t Token) (Identity, error) {
	key, err := age.NewScryptIdentity(t.Secret)
	if err != nil {
		return nil, fmt.Errorf("open identity: %w", err)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), key)
	var wrong *age.NoIdentityMatchError
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("%w: it needs the one of the cluster that was saved (kedge snapshot token, on its server)", ErrWrongToken)
	}
	if err != nil {
		return nil, fmt.Errorf("open identity: %w: %w", ErrDamaged, err)
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("open identity: %w: %w", ErrDamaged, err)
	}
	defer z.Close()
	return readIdentity(tar.NewReader(io.LimitReader(z, 2*maxIdentity)))
}

func readIdentity(tr *tar.Reader) (Identity, error) {
	var id Identity
	for {
		head, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return id, nil
		}
		if err != nil {
			return nil, fmt.Errorf("open identity: %w: %w", ErrDamaged, err)
		}
		if head.Typeflag != tar.TypeReg || !filepath.IsLocal(head.Name) || head.Size > maxIdentity {
			return nil, fmt.Errorf("open identity: %w: it has an entry %.80q", ErrDamaged, head.Name)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			return nil, fmt.Errorf("open identity: %w: %w", ErrDamaged, err)
		}
		id = append(id, File{Path: head.Name, Mode: fs.FileMode(head.Mode).Perm(), Data: data}) //nolint:gosec // masked
	}
}
