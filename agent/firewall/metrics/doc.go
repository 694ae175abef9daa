// Package metrics has the figures of a node's firewall for Prometheus. They are
// read at each scrape. Start reading at [New].
package metrics
