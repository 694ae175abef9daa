package snapshot

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// bucketHost has the bucket: an S3 server (tests/s3) on a machine of its own.
const bucketHost = "bucket"

const (
	bucketPort   = "9000"
	bucketFolder = "/srv/s3"
	accessKey    = "kedge"
	secretKey    = "not-a-secret"
)

// settings are what a person writes into the configuration file.
const settings = `snapshot-s3: true
snapshot-s3-endpoint: ` + bucketHost + "." + lab.Zone + ":" + bucketPort + `
snapshot-s3-insecure: true
snapshot-s3-bucket: backups
snapshot-s3-folder: site-7
snapshot-s3-access-key-file: /etc/kedge/s3.key
snapshot-s3-secret-key-file: /etc/kedge/s3.secret
`

// configure lets the kedge of a host use the bucket.
func configure(t *testing.T, h *lab.Host) {
	t.Helper()
	for path, text := range map[string]string{
		"/etc/kedge/config.yaml": settings, "/etc/kedge/s3.key": accessKey, "/etc/kedge/s3.secret": secretKey,
	} {
		cluster.Must(t, h.WriteFile(path, []byte(text+"\n"), 0o600))
	}
}

// serveBucket builds the S3 server, starts it on its host and waits until it listens.
func serveBucket(t *testing.T, h *lab.Host) {
	t.Helper()
	root, err := testx.RepoRoot()
	cluster.Must(t, err)
	const program = "/usr/local/bin/s3"
	build := exec.CommandContext(t.Context(), "go", "build", "-o", h.OnDisk(program), ".")
	build.Dir = filepath.Join(root, "tests", "s3")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the S3 server of tests/s3: %v: %s", err, out)
	}
	cluster.Must(t, h.WriteFile(bucketFolder+"/backups/.keep", nil, 0o600))
	_, err = h.Start("s3", program, "serve", "s3", bucketFolder, "--addr", ":"+bucketPort, "--auth-key", accessKey+","+secretKey,
		"--config", "/root/rclone.conf", "--cache-dir", "/root/cache")
	cluster.Must(t, err)
	testx.Eventually(t, cluster.Patience, "the S3 server listens", func(ctx context.Context) error {
		conn, err := h.DialContext(ctx, "tcp", fmt.Sprintf("%s:%s", h.IP(), bucketPort))
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}
