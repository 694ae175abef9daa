package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

// explain adds to what the server or the network said what can be done about it.
func (b *Bucket) explain(err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return b.explainAnswer(answer)
	}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("it was not done in time (--snapshot-s3-timeout %s; %s at most for what moves few bytes): %w", b.cfg.Timeout, smallTimeout, err)
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of %s comes from an authority that this host does not know: name its file with --snapshot-s3-endpoint-ca: %w", b.cfg.Endpoint, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the certificate of %s is not valid at the time that this host's clock shows: look at both: %w", b.cfg.Endpoint, err)
	case errors.As(err, &host):
		return fmt.Errorf("the certificate of %s is for somebody else: %w", b.cfg.Endpoint, err)
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%s speaks no TLS: use its TLS port, or give --snapshot-s3-insecure where the way to it is safe: %w", b.cfg.Endpoint, err)
	}
	return err
}

func (b *Bucket) explainAnswer(answer minio.ErrorResponse) error {
	remedy := ""
	switch answer.Code {
	case "NoSuchBucket":
		remedy = fmt.Sprintf("bucket %q does not exist: make it, or name another with --snapshot-s3-bucket", b.cfg.Bucket)
	case "InvalidAccessKeyId":
		remedy = "the server does not know the access key: see --snapshot-s3-access-key-file"
	case "SignatureDoesNotMatch":
		remedy = "the secret does not belong to the access key: see --snapshot-s3-secret-key-file"
	case "RequestTimeTooSkewed":
		remedy = "this host's clock and the server's differ too much: set the clock"
	case "AuthorizationHeaderMalformed", "PermanentRedirect":
		remedy = fmt.Sprintf("the bucket is in another region than --snapshot-s3-region %s", b.cfg.Region)
	case "AccessDenied":
		remedy = "the access key has no right to do this in bucket " + b.cfg.Bucket
	default:
		switch {
		case answer.StatusCode == http.StatusForbidden:
			remedy = "the server refuses the access key or its secret"
		case answer.StatusCode >= 300 && answer.StatusCode < 400:
			remedy = "the server sends requests elsewhere: name that place itself with --snapshot-s3-endpoint and --snapshot-s3-region"
		}
	}
	if remedy == "" {
		return answer
	}
	return fmt.Errorf("%s (%w)", remedy, answer)
}
