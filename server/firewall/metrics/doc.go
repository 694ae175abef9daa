// Package metrics shows the figures of the server's part of the edge firewall to
// Prometheus. Start reading at [Collector].
package metrics
