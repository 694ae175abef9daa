package edgefw

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/internal/fsx"
)

// kept is what the next process of this boot begins with: the pods, and the rules
// that hold for them. These need no proof, as they cannot take the node its
// server, and are written at once: pods go on running while no agent does, and
// must not be opened by rules of half a minute ago when it is back.
type kept struct {
	Pods  map[string]Pod `json:"pods"`
	Rules *keptRules     `json:"rules,omitempty"`
}

// keptRules are the pods' part of a ruleset.
type keptRules struct {
	Revision uint64                    `json:"revision"`
	Pods     model.PodRules            `json:"pods"`
	Sets     map[model.SetID]model.Set `json:"sets,omitempty"`
}

// readKept reads the file. Without it there is nothing.
func readKept(file string, log *slog.Logger) kept {
	var k kept
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return k
	}
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err != nil {
		log.Warn("running pods and their rules are lost until the runtime and a server tell them", "error", err)
		return kept{}
	}
	return k
}

// over puts the rules over those of a ruleset of that revision, unless they are
// older.
func (k *keptRules) over(rs *model.Ruleset, revision uint64) *model.Ruleset {
	if k == nil || k.Revision < revision {
		return rs
	}
	out := &model.Ruleset{Host: rs.Host, Pods: k.Pods, Sets: map[model.SetID]model.Set{}}
	for _, id := range setsOf(&model.Ruleset{Host: rs.Host}) {
		if set, ok := rs.Sets[id]; ok {
			out.Sets[id] = set
		}
	}
	maps.Copy(out.Sets, k.Sets)
	return out
}

// rulesOfPods is the part of a candidate that is kept.
func rulesOfPods(c candidate) *keptRules {
	k := &keptRules{Revision: c.revision, Pods: c.ruleset.Pods, Sets: map[model.SetID]model.Set{}}
	for _, id := range setsOf(&model.Ruleset{Pods: k.Pods}) {
		if set, ok := c.ruleset.Sets[id]; ok && id != plan.KnownSet { // which is the host's
			k.Sets[id] = set
		}
	}
	return k
}

// keep writes what the next start begins with.
func (l *Loop) keep(pods uint64, c candidate) {
	if pods == l.keptPods && c.ruleset == l.keptOf {
		return
	}
	l.keptPods, l.keptOf = pods, c.ruleset
	data, err := json.Marshal(kept{Pods: l.pods.byID(), Rules: rulesOfPods(c)})
	if err == nil {
		_, err = fsx.WriteFileIfChanged(l.cfg.PodsFile, data, 0o600)
	}
	if err != nil {
		l.log.Warn("running pods and their rules are not kept for a restart", "error", err)
	}
}
