// Package metrics answers the resource metrics API (metrics.k8s.io), which
// kubectl top and the horizontal pod autoscaler ask, inside the server: the
// library of sigs.k8s.io/metrics-server scrapes the kubelets through the link.
package metrics

import _ "sigs.k8s.io/metrics-server/pkg/server"
