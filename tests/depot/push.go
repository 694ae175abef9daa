package depot

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Client speaks to a depot. dial makes its connections, nil for those of this host.
func (d *Depot) Client(dial func(ctx context.Context, network, address string) (net.Conn, error)) *Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(d.CA)
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DialContext: dial, DisableKeepAlives: true}
	return &Client{base: "https://" + d.Address + "/v2/", http: &http.Client{Transport: t}}
}

// Client puts images into a depot.
type Client struct {
	base string
	http *http.Client
	// token is used in place of the password where it is set.
	token string
}

// Authorize makes c use tokens of d that are good for one repository.
func (c *Client) Authorize(d *Depot, repository string) (err error) {
	c.token, err = d.sign("repository:" + repository + ":pull,push")
	return err
}

// Ready is nil when the depot answers.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodGet, c.base, "", nil)
	return err
}

// Push stores the one image of an archive that internal/ociimage has written as
// repository:tag.
func (c *Client) Push(ctx context.Context, archive []byte, repository, tag string) error {
	files, err := unpack(archive)
	if err != nil {
		return err
	}
	var index struct {
		Manifests []struct{ MediaType, Digest string }
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		return fmt.Errorf("index of the archive: %d images, %w", len(index.Manifests), err)
	}
	top := index.Manifests[0]
	var manifest []byte
	for name, data := range files {
		hash, isBlob := strings.CutPrefix(name, "blobs/sha256/")
		switch {
		case !isBlob || hash == "":
		case "sha256:"+hash == top.Digest:
			manifest = data
		default:
			if err := c.blob(ctx, repository, "sha256:"+hash, data); err != nil {
				return err
			}
		}
	}
	_, err = c.do(ctx, http.MethodPut, c.base+repository+"/manifests/"+tag, top.MediaType, manifest)
	return err
}

func (c *Client) blob(ctx context.Context, repository, digest string, data []byte) error {
	resp, err := c.do(ctx, http.MethodPost, c.base+repository+"/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	at, err := resp.Location()
	if err != nil {
		return err
	}
	query := at.Query()
	query.Set("digest", digest)
	at.RawQuery = query.Encode()
	_, err = c.do(ctx, http.MethodPut, at.String(), "application/octet-stream", data)
	return err
}

func (c *Client) do(ctx context.Context, method, to, kind string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(User, Password)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("%s %s: %w", method, to, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s %s: %s: %s", method, to, resp.Status, text)
	}
	return resp, err
}

func unpack(archive []byte) (map[string][]byte, error) {
	files := map[string][]byte{}
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err == nil {
			files[h.Name], err = io.ReadAll(r)
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
	}
}
