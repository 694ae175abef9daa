// Package metrics answers the resource metrics API (metrics.k8s.io), which
// kubectl top and the horizontal pod autoscaler ask, inside the server.
//
// Scraping, storing and answering are those of sigs.k8s.io/metrics-server,
// used as a library and without its server: the API group is one more of the
// API server's own, so it has no port, no certificate and no rights of its
// own, and what it knows of nodes and pods comes from the API server's
// informers. Kubelets are asked by the name of their node, through its link.
//
// The APIService that leads here is the packaged manifest metrics-server; with
// --disable metrics-server there is neither, and somebody else may serve the
// group. Start reading at [New] and [Server.Install].
package metrics
