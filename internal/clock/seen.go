package clock

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
)

// read returns the time of the file at path.
func read(path string) (time.Time, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
}

// Save writes the present time for the next start. A clock that was wrong
// before and is known to be right now is written even where it went back.
func (c *Clock) Save() error {
	now := c.Now().UTC().Truncate(time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path == "" || now.Equal(c.saved) {
		return nil
	}
	if err := fsx.WriteFile(c.path, []byte(now.Format(time.RFC3339)+"\n"), 0o644); err != nil {
		return fmt.Errorf("note the time for the next start: %w", err)
	}
	c.saved = now
	return nil
}
