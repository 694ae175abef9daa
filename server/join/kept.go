package join

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
)

// KeepBarred makes, for a database that is older than what this host knows, the
// file of barred machines: all of have, the host's own file, and all of more, that
// which came with the database and may be empty. They stay barred until the claims
// in the database bar them too. It is nil when nobody is barred.
func KeepBarred(have, more []byte) ([]byte, error) {
	kept := newBarred()
	for _, text := range [][]byte{more, have} {
		if len(text) == 0 {
			continue
		}
		b, err := parseBarred(text)
		if err != nil {
			return nil, fmt.Errorf("whom the server refuses: %w", err)
		}
		kept.add(b)
	}
	if kept.none() {
		return nil, nil
	}
	return (&barred{Replaced: kept.Replaced, Revoked: kept.Revoked, Pods: kept.Pods, kept: kept}).encode()
}

// add bars whom other bars.
func (b *barred) add(other *barred) {
	for _, device := range other.Replaced {
		if !slices.Contains(b.Replaced, device) {
			b.Replaced = append(b.Replaced, device)
		}
	}
	maps.Copy(b.Revoked, other.Revoked)
	maps.Copy(b.Pods, other.Pods)
}

func (b *barred) none() bool { return b == nil || len(b.Replaced)+len(b.Revoked) == 0 }

func (b *barred) same(other *barred) bool {
	if b.none() || other.none() {
		return b.none() && other.none()
	}
	return b.equal(other)
}

func (b *barred) equal(other *barred) bool {
	return slices.Equal(b.Replaced, other.Replaced) && maps.Equal(b.Revoked, other.Revoked) &&
		maps.EqualFunc(b.Pods, other.Pods, time.Time.Equal)
}

// keep bars those of kept whom the claims, of which b was made, do not bar.
func (b *barred) keep(kept *barred, localNode string) {
	if kept.none() {
		return
	}
	left := newBarred()
	for _, device := range kept.Replaced {
		if !slices.Contains(b.Replaced, device) {
			left.Replaced = append(left.Replaced, device)
		}
	}
	for device, node := range kept.Revoked {
		// Whoever has the server has its node.
		if _, known := b.Revoked[device]; !known && node != localNode {
			left.Revoked[device] = node
			left.Pods[node] = kept.Pods[node]
		}
	}
	if !left.none() {
		b.add(left)
		b.kept = left
	}
}

// reinstate records in the claims whom an older database does not bar, so that
// kedge node allow and replace work on them as ever. It returns false until the
// claims are seen to bar all whom they can.
func (s *Server) reinstate(ctx context.Context) bool {
	kept := s.barred.Load().kept
	if kept.none() {
		return true
	}
	_, nodes, err := s.stores()
	if err != nil {
		return false
	}
	done := s.vacate(ctx, nodes, kept.Replaced)
	for device, node := range kept.Revoked {
		done = false
		err := nodes.set(ctx, node, func(claim *Claim) error {
			if !slices.Contains(claim.Revoked, device) {
				claim.Revoked = append(claim.Revoked, device)
			}
			return nil
		})
		if err != nil {
			s.log.Debug("machine is refused but its revocation is not recorded yet", "node", node, "device", device.String(), "error", err)
			continue
		}
		s.log.Warn("machine was revoked after the time of the restored database and stays so", "node", node, "device", device.String())
	}
	return done
}

// vacate takes names from machines that were replaced. The machines that replaced
// them take the names with their next renewal.
func (s *Server) vacate(ctx context.Context, nodes *Nodes, replaced []wire.Pin) (done bool) {
	if len(replaced) == 0 {
		return true
	}
	claims, err := s.Claims(ctx)
	if err != nil {
		return false
	}
	done = true
	for _, claim := range claims {
		if claim.Node == s.config.LocalNode || !slices.Contains(replaced, claim.Device) {
			continue
		}
		done = false
		err := nodes.set(ctx, claim.Node, func(now *Claim) error {
			if now.Device == claim.Device {
				now.release(nodes.now())
			}
			return nil
		})
		if err != nil {
			s.log.Debug("name of a replaced machine is not free yet", "node", claim.Node, "error", err)
			continue
		}
		s.log.Warn("machine was replaced after the time of the restored database and stays so", "node", claim.Node, "device", claim.Device.String())
	}
	return done
}

// barredFile is the form on disk.
type barredFile struct {
	Replaced []string          `json:"replaced,omitempty"`
	Revoked  map[string]string `json:"revoked,omitempty"`
	// Pods are as in [barred]; files of former versions have none.
	Pods map[string]time.Time `json:"pods"`
	// Kept are barred whatever the claims say, see [KeepBarred].
	Kept *barredFile `json:"kept,omitempty"`
}

func parseBarred(text []byte) (*barred, error) {
	var file barredFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	b := file.parse()
	if file.Kept != nil {
		b.kept = file.Kept.parse()
		b.add(b.kept)
	}
	return b, nil
}

func (f barredFile) parse() *barred {
	b := newBarred()
	for _, text := range f.Replaced {
		if device, err := wire.ParsePin(text); err == nil {
			b.Replaced = append(b.Replaced, device)
		}
	}
	for text, node := range f.Revoked {
		if device, err := wire.ParsePin(text); err == nil {
			b.Revoked[device] = node
			if f.Pods == nil {
				b.Pods[node] = time.Time{}
			}
		}
	}
	maps.Copy(b.Pods, f.Pods)
	return b
}

func (b *barred) file() *barredFile {
	if b == nil {
		return nil
	}
	file := &barredFile{Revoked: map[string]string{}, Pods: b.Pods, Kept: b.kept.file()}
	for _, device := range b.Replaced {
		file.Replaced = append(file.Replaced, device.String())
	}
	for device, node := range b.Revoked {
		file.Revoked[device.String()] = node
	}
	return file
}

func (b *barred) encode() ([]byte, error) {
	text, err := json.MarshalIndent(b.file(), "", "  ")
	return append(text, '\n'), err
}
