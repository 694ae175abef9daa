package kubeclient

import (
	"errors"
	"fmt"
	"io/fs"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kedge-io/kedge/internal/fsx"
)

const (
	// QPS bounds the requests per second of one client. The apiserver does its
	// own fair queueing; this only stops a client that spins.
	QPS = 50
	// Burst is how many requests of one client may go out at once.
	Burst = 100

	contextName = "kedge"

	jsonType     = runtime.ContentTypeJSON
	protobufType = runtime.ContentTypeProtobuf
)

// Kubeconfig is what a kubeconfig file says. Certificates and keys are either
// embedded (the Data fields, PEM) or named by path; clients that were given
// paths notice a renewed file by themselves.
type Kubeconfig struct {
	// Server is the URL of the API.
	Server string
	// User names the user inside the file; it has no meaning beyond it.
	User string

	CAFile, CertFile, KeyFile string
	CAData, CertData, KeyData []byte

	// Live writes a file for a part of upstream in this process, which then
	// follows the named files as clients of [FromFile] do (see
	// [RegisterProvider]). Other programs cannot use it.
	Live bool
}

// Validate says what is missing or given twice, all problems joined.
func (k Kubeconfig) Validate() error {
	var errs []error
	if k.Server == "" || k.User == "" {
		errs = append(errs, errors.New("a kubeconfig needs a server and a user"))
	}
	for name, both := range map[string][2]bool{
		"authority":   {k.CAFile != "", len(k.CAData) > 0},
		"certificate": {k.CertFile != "", len(k.CertData) > 0},
		"key":         {k.KeyFile != "", len(k.KeyData) > 0},
	} {
		if both[0] == both[1] {
			errs = append(errs, fmt.Errorf("a kubeconfig needs its %s either as a file or embedded", name))
		}
	}
	return errors.Join(errs...)
}

// Write writes the kubeconfig to path with perm, unless the file already is
// exactly so. It reports whether it wrote.
func (k Kubeconfig) Write(path string, perm fs.FileMode) (bool, error) {
	if err := k.Validate(); err != nil {
		return false, fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	config := api.NewConfig()
	config.Clusters[contextName] = &api.Cluster{
		Server: k.Server, CertificateAuthority: k.CAFile, CertificateAuthorityData: k.CAData,
	}
	config.AuthInfos[k.User] = k.user()
	config.Contexts[contextName] = &api.Context{Cluster: contextName, AuthInfo: k.User}
	config.CurrentContext = contextName
	text, err := clientcmd.Write(*config)
	if err != nil {
		return false, fmt.Errorf("encode kubeconfig %s: %w", path, err)
	}
	return fsx.WriteFileIfChanged(path, text, perm)
}

func (k Kubeconfig) user() *api.AuthInfo {
	if k.Live {
		return &api.AuthInfo{AuthProvider: &api.AuthProviderConfig{Name: provider, Config: map[string]string{
			providerCA: k.CAFile, providerCert: k.CertFile, providerKey: k.KeyFile,
		}}}
	}
	return &api.AuthInfo{
		ClientCertificate: k.CertFile, ClientCertificateData: k.CertData,
		ClientKey: k.KeyFile, ClientKeyData: k.KeyData,
	}
}

// FromFile reads a kubeconfig as a client configuration: protobuf first and
// JSON where a kind has no protobuf, [QPS] and [Burst], and userAgent, which
// should read "kedge/<version>"; an empty one leaves client-go's. A client
// whose kubeconfig names files follows them while it runs.
func FromFile(path, userAgent string) (*rest.Config, error) {
	if err := RegisterProvider(); err != nil {
		return nil, err
	}
	config, err := Once(path, userAgent)
	if err == nil {
		follow(config)
	}
	return config, err
}

// Once is [FromFile] for a command that ends soon: the configuration says what
// the kubeconfig says, and is not followed.
func Once(path, userAgent string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", path, err)
	}
	return Tune(config, userAgent), nil
}

// Tune sets kedge's client settings on config and returns it. Dynamic clients
// set their own content type and are not harmed.
func Tune(config *rest.Config, userAgent string) *rest.Config {
	config.QPS, config.Burst = QPS, Burst
	config.ContentType = protobufType
	config.AcceptContentTypes = protobufType + "," + jsonType
	if userAgent != "" {
		config.UserAgent = userAgent
	}
	return config
}
