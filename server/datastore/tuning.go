package datastore

import (
	"path/filepath"
	"time"
)

const (
	durableName  = "durable"
	volatileName = "volatile"
)

// instances describes both databases; the figures are argued in ADR 0002 and
// ADR 0003.
func (s *Store) instances() (durable, vol *instance) {
	sync := "FULL"
	if s.cfg.Durability == DurabilityNormal {
		sync = "NORMAL"
	}
	durable = &instance{
		name: durableName, path: s.cfg.Path, log: s.cfg.Log,
		socket: filepath.Join(s.cfg.SocketDir, "kine.sock"),
		tune: tuning{
			synchronous: sync, pageSize: durablePageSize, walLimit: 16 << 20,
			rules: rules{
				checkpointAt: 4 << 20, checkpointEvery: 10 * time.Minute, truncateAt: 64 << 20, truncateEvery: 30 * time.Second,
				compactEvery: 5 * time.Minute, compactSlack: 500, stallAfter: 20 * time.Minute,
				vacuumAt: 8 << 20,
			},
		},
	}
	vol = &instance{
		name: volatileName, path: filepath.Join(s.cfg.VolatileDir, "volatile.db"), log: s.cfg.Log,
		socket: s.volatileSocket(),
		tune: tuning{
			// Memory has no power to lose between a write and its sync.
			synchronous: "OFF", pageSize: 4096, walLimit: 1 << 20,
			rules: rules{
				checkpointAt: 1 << 20, checkpointEvery: time.Minute, truncateAt: 16 << 20, truncateEvery: 30 * time.Second,
				compactEvery: time.Minute, compactSlack: 500, stallAfter: 10 * time.Minute,
				vacuumAt: 1 << 20,
			},
		},
	}
	return durable, vol
}

// durablePageSize is SQLite's default; smaller pages write less per commit.
const durablePageSize = 4096

func (i *instance) closeIfOpen() error {
	if i.cancel == nil {
		return nil
	}
	return i.close()
}
