package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
	"github.com/kedge-io/kedge/server/datastore/snapshot/s3"
)

// snapshotOptions say how the datastore is saved, for a server and for the
// commands that do it while none runs.
type snapshotOptions struct {
	schedule, name, dir string
	retention           int
	s3                  bool
	bucket              s3.Config
	// The keys are texts here: flags have no secret type.
	accessKey, secretKey         string
	accessKeyFile, secretKeyFile string
}

const (
	s3AccessKey = "snapshot-s3-access-key"
	s3SecretKey = "snapshot-s3-secret-key"
)

func (o *snapshotOptions) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.schedule, "snapshot-schedule", snapshot.DefaultSchedule, `when snapshots are made: a duration such as 6h, a line of cron such as "30 3 * * *", or off`)
	fs.IntVar(&o.retention, "snapshot-retention", snapshot.DefaultRetention, "how many scheduled snapshots are kept")
	fs.StringVar(&o.name, "snapshot-name", snapshot.DefaultName, "first part of the names of scheduled snapshots")
	fs.StringVar(&o.dir, "snapshot-dir", "", "folder of snapshots (default: server/snapshots in the data directory)")
	fs.BoolVar(&o.s3, "snapshot-s3", false, "keep a copy of each snapshot in an S3-compatible bucket")
	fs.StringVar(&o.bucket.Endpoint, "snapshot-s3-endpoint", s3.DefaultEndpoint, "S3 server, HOST or HOST:PORT")
	fs.StringVar(&o.bucket.CAFile, "snapshot-s3-endpoint-ca", "", "file with the authority of the S3 server's certificate (default: those that the host trusts)")
	fs.BoolVar(&o.bucket.SkipVerify, "snapshot-s3-skip-ssl-verify", false, "accept any certificate of the S3 server: whoever stands on the way gets the snapshots")
	fs.BoolVar(&o.bucket.Insecure, "snapshot-s3-insecure", false, "talk to the S3 server without TLS")
	fs.StringVar(&o.bucket.Bucket, "snapshot-s3-bucket", "", "bucket for snapshots")
	fs.StringVar(&o.bucket.Region, "snapshot-s3-region", s3.DefaultRegion, "region of the bucket")
	fs.StringVar(&o.bucket.Folder, "snapshot-s3-folder", "", "folder in the bucket")
	fs.StringVar(&o.bucket.Lookup, "snapshot-s3-bucket-lookup-type", s3.LookupAuto, "how a request names the bucket: auto, dns or path")
	fs.DurationVar(&o.bucket.Timeout, "snapshot-s3-timeout", s3.DefaultTimeout, "how long one upload may take")
	fs.StringVar(&o.accessKeyFile, s3AccessKey+"-file", "", "file with the access key of the S3 server")
	fs.StringVar(&o.secretKeyFile, s3SecretKey+"-file", "", "file with the secret of the access key")
	fs.StringVar(&o.accessKey, s3AccessKey, "", "access key of the S3 server; in the environment or a configuration file only")
	fs.StringVar(&o.secretKey, s3SecretKey, "", "secret of the access key; in the environment or a configuration file only")
	config.MarkSecret(fs, s3AccessKey, s3SecretKey)
}

// refuseSecretArguments refuses keys on the command line, which every user of the
// host can read.
func refuseSecretArguments(r *config.Resolved) error {
	for _, key := range []string{s3AccessKey, s3SecretKey} {
		if r.Origin(key) == "flag" {
			return usageError(fmt.Errorf("--%s on the command line can be read by every user of this host: use --%[1]s-file, or the variable %s", key, "KEDGE_"+strings.ToUpper(strings.ReplaceAll(key, "-", "_"))))
		}
	}
	return nil
}

// config is what the options mean on the host with this layout and name.
func (o *snapshotOptions) config(layout paths.Layout, node string) (server.Snapshots, error) {
	s := server.Snapshots{Settings: snapshot.Settings{Dir: o.dir, Name: o.name, Retention: o.retention}}
	if s.Dir == "" {
		s.Dir = layout.Snapshots()
	}
	var err error
	if s.Schedule, err = snapshot.ParseSchedule(o.schedule); err != nil {
		return s, usageError(err)
	}
	if !o.s3 {
		return s, nil
	}
	bucket, err := o.openBucket(node)
	if err != nil {
		return s, err
	}
	s.Remote = bucket
	return s, nil
}

// openBucket connects to nobody yet.
func (o *snapshotOptions) openBucket(node string) (*s3.Bucket, error) {
	c := o.bucket
	c.Node, c.Proxy = node, http.ProxyFromEnvironment
	var err error
	if c.AccessKey, err = secretOf(o.accessKey, o.accessKeyFile); err != nil {
		return nil, fmt.Errorf("--%s-file: %w", s3AccessKey, err)
	}
	if c.SecretKey, err = secretOf(o.secretKey, o.secretKeyFile); err != nil {
		return nil, fmt.Errorf("--%s-file: %w", s3SecretKey, err)
	}
	b, err := s3.New(c)
	if err != nil {
		return nil, usageError(err)
	}
	return b, nil
}

func secretOf(text, file string) (s3.Secret, error) {
	if file == "" {
		return s3.Secret(text), nil
	}
	raw, err := os.ReadFile(file)
	return s3.Secret(strings.TrimSpace(string(raw))), err
}

// snapshotTime is how commands show times of snapshots.
func snapshotTime(t time.Time) string { return t.Local().Format(time.DateTime) }
