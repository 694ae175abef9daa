package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/agent/preflight/survey"
	fwview "github.com/kedge-io/kedge/edgefw/view"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/support"
	"github.com/kedge-io/kedge/internal/version"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/datastore"
	"github.com/kedge-io/kedge/tunnel/view"
)

// bundlePart is one file of a bundle.
type bundlePart struct {
	name string
	read func(ctx context.Context) (string, error)
}

// Bounds of what is read, in bytes and objects.
const (
	maxLogTail   = support.MaxPart
	maxAPIAnswer = 32 << 20
	maxObjects   = 2000
)

// redactor knows the secrets of this host by their values.
func (s *subject) redactor() *support.Redactor {
	r := support.NewRedactor()
	r.LearnEnv(os.Environ())
	s.flags.VisitAll(func(f *pflag.Flag) {
		if strings.HasSuffix(f.Name, "-file") {
			r.LearnSetting(f.Name, f.Value.String()) // what is in the file of a key or token
		}
		if config.IsSecret(f) && f.Value.String() != "" {
			r.Learn(f.Value.String())
			r.LearnEnv([]string{"=" + f.Value.String()}) // a password in a URL, alone
		}
	})
	r.Learn(s.config.Token)
	s.learnServices(r)
	for _, dir := range []string{s.layout.ServerTLS(), s.layout.ServerCred(), s.layout.AgentTLS(), s.layout.RegistryHosts()} {
		r.LearnTree(dir)
	}
	files := append([]string{
		s.layout.RecoveryToken(), s.layout.KubeletConfig(), s.layout.ProxyConfig(), s.layout.AgentConfig(),
		s.text("write-kubeconfig"), s.text("private-registry"), s.layout.RegistriesLastGood(),
	}, s.resolved.Files...)
	for _, path := range files {
		if path != "" {
			r.LearnFile(path)
		}
	}
	return r
}

// learnServices learns what services of this host are started with, beside the
// default configuration and beside each that is read: this command was not.
func (s *subject) learnServices(r *support.Redactor) {
	for _, config := range append([]string{paths.DefaultConfigFile}, s.resolved.Files...) {
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(config), "*.env"))
		for _, path := range found {
			r.LearnEnvFile(path)
		}
	}
}

// parts are all files, in the order of the archive.
func (s *subject) parts(logs []string) []bundlePart {
	out := []bundlePart{
		{"doctor.json", func(ctx context.Context) (string, error) { return asJSON(s.diagnose(ctx)) }},
		{"version.json", func(context.Context) (string, error) { return asJSON(version.Get()) }},
		{"config.txt", func(context.Context) (string, error) {
			var b strings.Builder
			err := s.resolved.Write(&b, "table")
			return b.String(), err
		}},
		{"status.json", func(context.Context) (string, error) {
			if s.down != nil {
				return "", s.down
			}
			return asJSON(s.report)
		}},
	}
	for _, q := range []struct{ name, path string }{
		{"links", view.PathStatus}, {"bandwidth", snapshot.PathStatus}, {"bandwidth-plan", snapshot.PathPlan},
		{"firewall", fwview.PathNode}, {"firewall-counters", fwview.PathCounters}, {"firewall-fleet", fwview.PathStatus},
		{"datastore", datastore.PathStat},
	} {
		out = append(out, bundlePart{"daemon/" + q.name + ".json", func(ctx context.Context) (string, error) { return s.answer(ctx, q.path) }})
	}
	out = append(out, bundlePart{"logs/journal.log", journal})
	for _, path := range s.logFiles(logs) {
		out = append(out, bundlePart{"logs/" + strings.ReplaceAll(strings.Trim(path, "/"), "/", "_"), func(context.Context) (string, error) { return tail(path) }})
	}
	for _, p := range survey.Parts(s.layout.DataDir) {
		out = append(out, bundlePart{"kernel/" + p.Name, p.Read})
	}
	for _, k := range support.Kinds() {
		out = append(out, bundlePart{"api/" + k.Name + ".json", func(ctx context.Context) (string, error) { return s.objects(ctx, k) }})
	}
	return out
}

func asJSON(v any) (string, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return string(text), err
}

// answer is what the daemon says at a path of its status socket.
func (s *subject) answer(ctx context.Context, path string) (string, error) {
	if s.down != nil {
		return "", s.down
	}
	var b strings.Builder
	err := health.Ask(ctx, s.layout.StatusSocket(), http.MethodGet, path, func(body io.Reader) error {
		_, err := io.Copy(&b, body)
		return err
	})
	return b.String(), err
}

// logFiles are those of kedge on this host, and further ones.
func (s *subject) logFiles(more []string) []string {
	var out []string
	for _, pattern := range []string{"/var/log/kedge*.log", filepath.Join(s.layout.Logs(), "*.log")} {
		found, _ := filepath.Glob(pattern) // folders of ours have no pattern in their names
		out = append(out, found...)
	}
	return append(out, more...)
}

// tail is the end of a file. It begins with a whole line: half a secret would not be
// recognised.
func tail(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	cut := st.Size() > maxLogTail
	if cut {
		if _, err := f.Seek(-maxLogTail, io.SeekEnd); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxLogTail))
	if cut {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return string(text), err
}

// journal is what systemd has of kedge's units.
func journal(ctx context.Context) (string, error) {
	path, err := exec.LookPath("journalctl")
	if err != nil {
		return "", err
	}
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, path, "--no-pager", "-o", "short-iso", "-n", "20000", "-u", "kedge*")
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("journalctl: %w: %s", err, strings.TrimSpace(complaints.String()))
	}
	return out.String(), nil
}

// objects asks the API as the administrator on a server, as the node on an agent.
func (s *subject) objects(ctx context.Context, k support.Kind) (string, error) {
	if s.down != nil {
		return "", s.down
	}
	kubeconfig, query := s.layout.AgentConfig(), url.Values{"limit": {fmt.Sprint(maxObjects)}}
	if s.config.Server {
		kubeconfig = certs.NewPaths(s.layout).AdminKubeconfig
	} else if k.Name == "pods" {
		query.Set("fieldSelector", "spec.nodeName="+s.config.NodeName)
	}
	cfg, err := kubeclient.FromFile(kubeconfig, "kedge/"+version.Kedge)
	if err != nil {
		return "", err
	}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return "", err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(cfg.Host, "/")+k.Path+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return "", errors.New(response.Status)
	}
	var list map[string]any
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAPIAnswer)).Decode(&list); err != nil {
		return "", fmt.Errorf("read %s: %w", k.Path, err)
	}
	return asJSON(k.Objects(list))
}
