package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
)

// silent is an address that takes connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// cutting forwards connections to the server and cuts each of the first many
// after so many bytes in the direction that is counted.
func (s *server) cutting(t *testing.T, many int64, up, down int64) (address string, cuts *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	cuts = &atomic.Int64{}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", s.address)
			if err != nil {
				in.Close()
				return
			}
			pipe := func(to, from net.Conn, limit int64) {
				defer to.Close()
				defer from.Close()
				buf := make([]byte, 16<<10)
				for n := int64(0); ; {
					k, err := from.Read(buf)
					if err != nil {
						return
					}
					if n += int64(k); n > limit && cuts.Load() < many {
						cuts.Add(1)
						return
					}
					if _, err := to.Write(buf[:k]); err != nil {
						return
					}
				}
			}
			go pipe(out, in, up)
			go pipe(in, out, down)
		}
	}()
	return l.Addr().String(), cuts
}

func TestCutConnectionsCostOnePartNotTheUpload(t *testing.T) {
	t.Parallel()
	s := serve(t)
	e := made(t, 20<<20)
	address, cuts := s.cutting(t, 3, 11<<20, 1<<40)
	b := s.bucket(t, func(c *Config) { c.Endpoint = address })
	mustUpload(t, b, e)
	if cuts.Load() == 0 {
		t.Error("no connection was cut")
	}
	same(t, s.bucket(t), e)
}

func TestCutDownloadGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	s := serve(t)
	e := made(t, 12<<20)
	mustUpload(t, s.bucket(t), e)
	address, cuts := s.cutting(t, 2, 1<<40, 5<<20)
	same(t, s.bucket(t, func(c *Config) { c.Endpoint = address }), e)
	if cuts.Load() != 2 {
		t.Errorf("%d connections were cut", cuts.Load())
	}
}

func TestUploadThatIsGivenUpLeavesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t)
	e := made(t, 16<<20)
	address, cuts := s.cutting(t, 1<<40, 5<<20, 1<<40)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	given := make(chan error, 1)
	go func() { given <- s.bucket(t, func(c *Config) { c.Endpoint = address }).Upload(ctx, e.Location) }()
	// From the first cut part on, the upload is one that the server has told the name of.
	testx.Eventually(t, time.Minute, "a connection is cut", func(context.Context) error {
		if cuts.Load() == 0 {
			return errors.New("none was cut")
		}
		return nil
	})
	cancel()
	if err := <-given; err == nil {
		t.Fatal("uploaded over a connection that is always cut")
	}
	b := s.bucket(t)
	if l, err := b.List(t.Context(), ""); err != nil || len(l) != 0 {
		t.Errorf("listed %v, %v", l, err)
	}
	mustUpload(t, b, e)
	if err := s.holdsOnly(t.Context(), b, filepath.Base(e.Location)); err != nil {
		t.Error(err)
	}
	same(t, b, e)
}

// holdsOnly says what else than the file is on the server, ended or not.
func (s *server) holdsOnly(ctx context.Context, b *Bucket, name string) error {
	for u := range b.client.ListIncompleteUploads(ctx, "backups", "edge/one/", true) {
		return fmt.Errorf("an upload was begun and not ended: %s, %w", u.Key, u.Err)
	}
	found, err := os.ReadDir(filepath.Join(s.folder, "backups/edge/one"))
	if err != nil || len(found) != 1 || found[0].Name() != name {
		return fmt.Errorf("on the server: %v, %w", found, err)
	}
	return nil
}
