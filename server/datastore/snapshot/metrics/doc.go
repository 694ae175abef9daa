// Package metrics shows the snapshots of a server as Prometheus metrics.
package metrics
