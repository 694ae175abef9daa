package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// DefaultEndpoint is Amazon's.
	DefaultEndpoint = "s3.amazonaws.com"
	// DefaultRegion is what most servers other than Amazon's call theirs, too.
	DefaultRegion = "us-east-1"
	// DefaultTimeout bounds one upload or list: 60 MB at 1 Mbit/s.
	DefaultTimeout = 10 * time.Minute
	// LookupAuto asks by virtual host at providers that are known to need it and
	// by path elsewhere.
	LookupAuto = "auto"
)

// lookups are the ways to name the bucket in a request.
var lookups = map[string]minio.BucketLookupType{
	LookupAuto: minio.BucketLookupAuto, "dns": minio.BucketLookupDNS, "path": minio.BucketLookupPath,
}

// Secret is a word that no formatting shows.
type Secret string

// String masks the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "****"
}

// GoString masks the secret for %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue masks the secret for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Config says where copies are kept and with what right.
type Config struct {
	// Endpoint is HOST or HOST:PORT.
	Endpoint string
	Bucket   string
	Region   string
	// Folder is what comes before the names of files, without slashes at its ends.
	Folder string
	// AccessKey and SecretKey sign requests.
	AccessKey, SecretKey Secret
	// CAFile is the authority of the endpoint's certificate; the host's own if it
	// is empty.
	CAFile string
	// SkipVerify accepts any certificate, Insecure speaks HTTP without TLS.
	SkipVerify, Insecure bool
	// Lookup is auto, dns or path.
	Lookup string
	// Timeout bounds one upload, list or deletion.
	Timeout time.Duration
	// Proxy is as in [http.Transport]; nil for a direct way.
	Proxy func(*http.Request) (*url.URL, error)
	// Node is the server's name, by which it knows uploads of its own.
	Node string
	Log  *slog.Logger
}

// Validate returns all problems of c joined.
func (c Config) Validate() error {
	var errs []error
	if _, err := hostOf(c.Endpoint); err != nil {
		errs = append(errs, err)
	}
	if c.Bucket == "" || strings.Contains(c.Bucket, "/") {
		errs = append(errs, fmt.Errorf("--snapshot-s3-bucket %q is not the name of a bucket", c.Bucket))
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		errs = append(errs, errors.New("S3 needs an access key and its secret: set KEDGE_SNAPSHOT_S3_ACCESS_KEY and KEDGE_SNAPSHOT_S3_SECRET_KEY, or --snapshot-s3-access-key-file and --snapshot-s3-secret-key-file"))
	}
	if _, ok := lookups[c.Lookup]; !ok {
		errs = append(errs, fmt.Errorf("--snapshot-s3-bucket-lookup-type %q: expected auto, dns or path", c.Lookup))
	}
	if slices.Contains(strings.Split(c.Folder, "/"), "..") {
		errs = append(errs, fmt.Errorf("--snapshot-s3-folder %q: leave .. out of it", c.Folder))
	}
	if c.Timeout < time.Second {
		errs = append(errs, fmt.Errorf("--snapshot-s3-timeout %s is too short: use for instance %s", c.Timeout, DefaultTimeout))
	}
	if c.Insecure && (c.SkipVerify || c.CAFile != "") {
		errs = append(errs, errors.New("--snapshot-s3-insecure means no TLS at all: leave out --snapshot-s3-endpoint-ca and --snapshot-s3-skip-ssl-verify, or --snapshot-s3-insecure"))
	}
	return errors.Join(errs...)
}

// hostOf checks the endpoint. A scheme is refused, because it would say a second
// time, perhaps differently, whether TLS is used.
func hostOf(endpoint string) (string, error) {
	if strings.Contains(endpoint, "://") {
		return "", fmt.Errorf("--snapshot-s3-endpoint %q: give HOST or HOST:PORT alone; TLS is used unless --snapshot-s3-insecure is given", endpoint)
	}
	u, err := url.Parse("https://" + endpoint)
	if err != nil || u.Host != endpoint || u.Hostname() == "" {
		return "", fmt.Errorf("--snapshot-s3-endpoint %q: give HOST or HOST:PORT", endpoint)
	}
	return u.Hostname(), nil
}

// transport is what requests go through.
func (c Config) transport() (*http.Transport, error) {
	t := &http.Transport{
		Proxy:       c.Proxy,
		DialContext: (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		// Bytes of objects are compared: nobody may pack them on the way.
		DisableCompression:  true,
		TLSHandshakeTimeout: 15 * time.Second, ExpectContinueTimeout: 10 * time.Second,
		ResponseHeaderTimeout: time.Minute, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: readers,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.SkipVerify}, //nolint:gosec // asked for, and said in the log
	}
	if c.CAFile == "" {
		return t, nil
	}
	raw, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("--snapshot-s3-endpoint-ca: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("--snapshot-s3-endpoint-ca %s holds no certificate in PEM", c.CAFile)
	}
	return t, nil
}
