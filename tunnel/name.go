package tunnel

// NodeName is the name of a node as its client certificate gives it. Whoever
// makes one has checked the certificate or the form of the name before.
type NodeName string
