package apilb

import "time"

// Status is one candidate as it is now.
type Status struct {
	Address string `json:"address"`
	// Given is true for the address that the user gave.
	Given bool  `json:"given"`
	State State `json:"state"`
	// Since is when the state was entered.
	Since time.Time `json:"since"`
	// Clients is the number of connections.
	Clients int `json:"clients"`
	// LastError is why it is not good.
	LastError string `json:"lastError,omitempty"`
}

// Status returns the candidates, the user's own first.
func (e *Endpoint) Status() []Status {
	p := e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Status
	for _, c := range p.list {
		s := Status{Address: c.addr, Given: c.given, State: c.state, Since: c.since, Clients: len(c.links)}
		if c.err != nil {
			s.LastError = c.err.Error()
		}
		out = append(out, s)
	}
	return out
}
