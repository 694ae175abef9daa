package health

import (
	"fmt"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// ConditionStatus is the weight of a condition.
type ConditionStatus string

// The weights, from "as it should be" to "something does not work".
const (
	// ConditionOK marks a fact that is worth knowing and right.
	ConditionOK ConditionStatus = "ok"
	// ConditionAdapted marks a host that lacks something which kedge works
	// around without loss for the user.
	ConditionAdapted ConditionStatus = "adapted"
	// ConditionWarning marks something that a person should mend.
	ConditionWarning ConditionStatus = "warning"
)

// Condition is a named fact about the host or the daemon.
type Condition struct {
	// Name is lower-case words joined by dashes: "cgroup-version".
	Name   string          `json:"name"`
	Status ConditionStatus `json:"status"`
	// Message is one sentence: what was found and what kedge does about it.
	Message string `json:"message"`
}

// Report is the state of a daemon at one moment.
type Report struct {
	// Role is "server" or "agent".
	Role string `json:"role"`
	// Node is the name of the node that the daemon runs, empty without one.
	Node    string    `json:"node,omitempty"`
	Version string    `json:"version"`
	DataDir string    `json:"dataDir"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Ready and Healthy are filled in by the server.
	Ready      bool               `json:"ready"`
	Healthy    bool               `json:"healthy"`
	Components []lifecycle.Status `json:"components"`
	Conditions []Condition        `json:"conditions,omitempty"`
}

// Source returns the present state. It is called from several goroutines and
// must not block: the systemd watchdog counts on it.
type Source func() Report

// Pending lists the components that are not ready with their states, in the
// order of the report: "kubelet (starting)". A daemon without components is
// pending too.
func (r Report) Pending() []string {
	var names []string
	for _, c := range r.Components {
		if c.State != lifecycle.StateReady {
			names = append(names, fmt.Sprintf("%s (%s)", c.Name, c.State))
		}
	}
	if len(r.Components) == 0 {
		names = append(names, "components (not yet known)")
	}
	return names
}

// Failed lists the components that have failed with their errors.
func (r Report) Failed() []string {
	var names []string
	for _, c := range r.Components {
		if c.State == lifecycle.StateFailed {
			names = append(names, fmt.Sprintf("%s: %s", c.Name, c.LastError))
		}
	}
	return names
}

// judged returns r with its verdicts filled in.
func (r Report) judged() Report {
	r.Ready = len(r.Pending()) == 0
	r.Healthy = len(r.Failed()) == 0
	return r
}
