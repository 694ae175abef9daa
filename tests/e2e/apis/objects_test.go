package apis

import (
	"encoding/base64"
	"strings"
	"testing"
	"text/template"

	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// provider is a pod that serves a webhook and an API with TLS, and its service.
type provider struct {
	Name, Node  string
	HostNetwork bool
	Port        int
	Image       string
	Cert, Key   string // base64 of PEM
}

var providerObjects = template.Must(template.New("provider").Parse(`
apiVersion: v1
kind: Secret
metadata: {name: {{.Name}}}
data: {tls.crt: {{.Cert}}, tls.key: {{.Key}}}
---
apiVersion: v1
kind: Service
metadata: {name: {{.Name}}}
spec:
  selector: {app: {{.Name}}}
  ports: [{port: 443, targetPort: {{.Port}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: {{.Name}}, labels: {app: {{.Name}}}}
spec:
  nodeName: {{.Node}}
  hostNetwork: {{.HostNetwork}}
  terminationGracePeriodSeconds: 1
  volumes: [{name: tls, secret: {secretName: {{.Name}}}}]
  containers:
    - name: app
      image: {{.Image}}
      imagePullPolicy: Never
      args: [apis, -listen, ":{{.Port}}"]
      ports: [{containerPort: {{.Port}}}]
      volumeMounts: [{name: tls, mountPath: /tls}]
      readinessProbe: {httpGet: {path: /, port: {{.Port}}, scheme: HTTPS}, periodSeconds: 1}
`))

// webhook makes the provider validate ConfigMaps with the label webhook=NAME.
var webhook = template.Must(template.New("webhook").Parse(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: {{.Name}}}
webhooks:
  - name: {{.Name}}.app.kedge.test
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Fail
    timeoutSeconds: 10
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
    objectSelector: {matchLabels: {webhook: {{.Name}}}}
    clientConfig:
      caBundle: {{.Cert}}
      service: {namespace: default, name: {{.Name}}, path: /validate}
`))

var apiService = template.Must(template.New("apiservice").Parse(`
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.app.kedge.test}
spec:
  group: app.kedge.test
  version: v1
  groupPriorityMinimum: 1000
  versionPriority: 10
  caBundle: {{.Cert}}
  service: {namespace: default, name: {{.Name}}}
`))

// worker is a deployment that uses more than it asked for, and its autoscaler.
const worker = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  selector: {matchLabels: {app: worker}}
  template:
    metadata: {labels: {app: worker}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: ` + cluster.AppImage + `
          imagePullPolicy: Never
          args: [burn]
          resources: {requests: {cpu: 10m}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: worker}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker}
  minReplicas: 1
  maxReplicas: 2
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
`

// provide starts a provider on a node.
func provide(t *testing.T, c *cluster.Cluster, name, node string, hostNetwork bool, port int) provider {
	t.Helper()
	cert, key := certificate(t, name+".default.svc")
	p := provider{
		Name: name, Node: node, HostNetwork: hostNetwork, Port: port, Image: cluster.AppImage,
		Cert: base64.StdEncoding.EncodeToString(cert), Key: base64.StdEncoding.EncodeToString(key),
	}
	c.Apply(t, render(t, providerObjects, p))
	return p
}

func render(t *testing.T, tmpl *template.Template, p provider) string {
	t.Helper()
	var b strings.Builder
	cluster.Must(t, tmpl.Execute(&b, p))
	return b.String()
}
