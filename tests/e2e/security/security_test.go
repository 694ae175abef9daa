// Package security is the scenario in README.md.
package security

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	authenticationv1 "k8s.io/api/authentication/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

func TestSecurity(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(1), cluster.Options{})
	t.Run("an invalid pod is refused", func(t *testing.T) { invalidPod(t, c) })
	t.Run("no credentials, no answer", func(t *testing.T) { anonymous(t, c) })
	t.Run("a viewer may look only", func(t *testing.T) { viewer(t, c) })
	t.Run("secrets are encrypted at rest", func(t *testing.T) { atRest(t, c) })
	t.Run("a node sees its own secrets only", func(t *testing.T) { nodeSecrets(t, c) })
	t.Run("a node cannot change another", func(t *testing.T) { otherNode(t, c) })
	t.Run("a node cannot pass for another", func(t *testing.T) { passFor(t, c) })
	for _, n := range append([]*cluster.Node{c.Server}, c.Agents...) {
		t.Run("keys on "+n.Name()+" are private", func(t *testing.T) { keyFiles(t, n.Host) })
	}
}

func client(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	k, err := kubernetes.NewForConfig(config)
	cluster.Must(t, err)
	return k
}

func invalidPod(t *testing.T, c *cluster.Cluster) {
	pod := cluster.AppPod("invalid", "")
	pod.Spec.Containers = nil
	_, err := c.Client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("got %v, want 422", err)
	}
}

func anonymous(t *testing.T, c *cluster.Cluster) {
	config := rest.AnonymousClientConfig(c.Config)
	config.Dial = c.Config.Dial
	_, err := client(t, config).CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsUnauthorized(err) {
		t.Errorf("got %v, want 401", err)
	}
	config.BearerToken = "not-a-token"
	_, err = client(t, config).CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsUnauthorized(err) {
		t.Errorf("with a made-up token: got %v, want 401", err)
	}
}

func viewer(t *testing.T, c *cluster.Cluster) {
	const name = "viewer"
	ctx := t.Context()
	_, err := c.Client.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	cluster.Must(t, err)
	_, err = c.Client.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: "default"}},
	}, metav1.CreateOptions{})
	cluster.Must(t, err)
	token, err := c.Client.CoreV1().ServiceAccounts("default").CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	cluster.Must(t, err)
	config := rest.AnonymousClientConfig(c.Config)
	config.Dial, config.BearerToken = c.Config.Dial, token.Status.Token
	k := client(t, config)
	testx.Eventually(t, cluster.Patience, "the viewer sees pods", func(ctx context.Context) error {
		_, err := k.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		return err
	})
	_, err = k.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "no"}}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("create: got %v, want 403", err)
	}
	if _, err = k.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("secrets: got %v, want 403", err)
	}
	if _, err = k.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("another namespace: got %v, want 403", err)
	}
}

// atRest looks for the text of a secret, and of a config map to show that the search works, in the
// database and its log.
func atRest(t *testing.T, c *cluster.Cluster) {
	const hidden, open = "do-not-find-me-in-the-file", "do-find-me-in-the-file"
	ctx := t.Context()
	_, err := c.Client.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "hidden"}, StringData: map[string]string{"k": hidden}}, metav1.CreateOptions{})
	cluster.Must(t, err)
	_, err = c.Client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "open"}, Data: map[string]string{"k": open}}, metav1.CreateOptions{})
	cluster.Must(t, err)
	var all []byte
	files, err := filepath.Glob(c.Server.Host.OnDisk("/var/lib/kedge/server/db") + "/*")
	cluster.Must(t, err)
	for _, f := range files {
		data, err := os.ReadFile(f)
		cluster.Must(t, err)
		all = append(all, data...)
	}
	if !bytes.Contains(all, []byte(open)) {
		t.Error("not even the config map is in the database file: the search is wrong")
	}
	for _, text := range []string{hidden, base64.StdEncoding.EncodeToString([]byte(hidden))} {
		if bytes.Contains(all, []byte(text)) {
			t.Error("the secret's text is in the database file")
		}
	}
}

// asKubelet is a client with the credentials of the agent's kubelet, used on its host.
func asKubelet(t *testing.T, n *cluster.Node) *kubernetes.Clientset {
	t.Helper()
	config, err := cluster.RESTConfig(n.Host, "/var/lib/kedge/agent/kubelet.kubeconfig")
	cluster.Must(t, err)
	return client(t, config)
}

func nodeSecrets(t *testing.T, c *cluster.Cluster) {
	edge := c.Agents[0]
	for _, n := range []*cluster.Node{c.Server, edge} {
		name := "for-" + n.Name()
		_, err := c.Client.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		cluster.Must(t, err)
		pod := cluster.AppPod(name, n.Name())
		pod.Spec.Volumes = []corev1.Volume{{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}}}}
		c.CreatePod(t, pod)
		c.WaitPods(t, "default", "app="+name, 1)
	}
	secrets := asKubelet(t, edge).CoreV1().Secrets("default")
	if _, err := secrets.Get(t.Context(), "for-"+edge.Name(), metav1.GetOptions{}); err != nil {
		t.Errorf("its own: %v", err)
	}
	if _, err := secrets.Get(t.Context(), "for-server", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("another node's: got %v, want 403", err)
	}
	if _, err := secrets.List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("all: got %v, want 403", err)
	}
}

func otherNode(t *testing.T, c *cluster.Cluster) {
	nodes := asKubelet(t, c.Agents[0]).CoreV1().Nodes()
	patch := []byte(`{"metadata":{"annotations":{"mine":"now"}}}`)
	if _, err := nodes.Patch(t.Context(), "server", "application/merge-patch+json", patch, metav1.PatchOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want 403", err)
	}
}

// passFor makes a node say of itself what the server finds other nodes and their pods by.
func passFor(t *testing.T, c *cluster.Cluster) {
	edge := c.Agents[0]
	nodes := asKubelet(t, edge).CoreV1().Nodes()
	patch := []byte(`{"status":{"addresses":[{"type":"Hostname","address":"server"}]}}`)
	if _, err := nodes.Patch(t.Context(), edge.Name(), "application/merge-patch+json", patch, metav1.PatchOptions{}, "status"); !apierrors.IsForbidden(err) {
		t.Errorf("another name: got %v, want 403", err)
	}
	// A node may register; that it is there already is found out last.
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: edge.Name()}}
	register := func() error {
		_, err := nodes.Create(t.Context(), node, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	if err := register(); !apierrors.IsAlreadyExists(err) {
		t.Errorf("registering: got %v, want 409", err)
	}
	node.Spec.PodCIDR, node.Spec.PodCIDRs = "10.42.0.0/24", []string{"10.42.0.0/24"}
	if err := register(); !apierrors.IsForbidden(err) {
		t.Errorf("registering with a pod range: got %v, want 403", err)
	}
}

// keyFiles looks at every file of kedge: what holds a private key, a token or a kubeconfig with
// credentials is for root alone.
func keyFiles(t *testing.T, h *lab.Host) {
	found := 0
	for _, root := range []string{h.OnDisk("/var/lib/kedge/server"), h.OnDisk("/var/lib/kedge/agent/tls"), h.OnDisk("/var/lib/kedge/agent"), h.Path("/etc/kedge")} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil {
				return err
			}
			if name := d.Name(); d.IsDir() && (name == "containerd" || name == "kubelet" || name == "images") {
				return fs.SkipDir
			}
			if !d.Type().IsRegular() {
				return nil
			}
			secret, err := holdsSecret(path)
			if err != nil || !secret {
				return err
			}
			found++
			info, err := d.Info()
			if err == nil && info.Mode().Perm() != 0o600 {
				err = fmt.Errorf("%s has mode %o, want 600", path, info.Mode().Perm())
			}
			if err != nil {
				t.Error(err)
			}
			return nil
		})
		cluster.Must(t, err)
	}
	if found == 0 {
		t.Error("no file with a key was found: the search is wrong")
	}
}

func holdsSecret(path string) (bool, error) {
	data, err := os.ReadFile(path)
	for _, mark := range []string{"PRIVATE KEY-----", "client-key-data:", "aescbc", "secretbox", "aesgcm"} {
		if bytes.Contains(data, []byte(mark)) {
			return true, err
		}
	}
	return false, err
}
