package restore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/server/join"
)

// barred plans that machines which this host refuses stay refused, although the
// database may be from before they were revoked or replaced. With present the file
// takes the place of the host's alone, else it goes with those of the snapshot.
func (w *work) barred(present bool) error {
	place := filepath.Join(w.layout.Server(), barredFile)
	have, err := os.ReadFile(place)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep out who is refused: %w", err)
	}
	made := filepath.Join(stages(w.layout)[0], barredFile)
	more, err := os.ReadFile(made)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("keep out who is refused: %w", err)
	}
	kept, err := join.KeepBarred(have, more)
	if err != nil {
		return fmt.Errorf("%s cannot be read: %w: remove it, and revoke again who is to stay out", place, err)
	}
	if kept == nil {
		return nil
	}
	if err := fsx.WriteFile(made, kept, 0o600); err != nil {
		return fmt.Errorf("keep out who is refused: %w", err)
	}
	if present {
		w.replace(barredFile)
	}
	return nil
}
