package datastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrLoss marks a database that is sound in itself but lacks changes that were
// acknowledged. Errors that wrap it wrap [ErrDamaged] too.
var ErrLoss = errors.New("acknowledged changes are missing")

// ErrChanged marks a database that is sound in itself but was changed by
// somebody else since kedge closed it. Errors that wrap it wrap [ErrDamaged] too.
var ErrChanged = errors.New("somebody else has changed it")

// Finding is what a check of a database found.
type Finding struct {
	// Revision is the last one in the database with its log, zero where it
	// could not be read.
	Revision int64 `json:"revision"`
	// Acknowledged is the last revision that is known to have been given out.
	Acknowledged int64 `json:"acknowledged"`
	// Bytes is the size of the file; Took how long the check was.
	Bytes int64         `json:"bytes"`
	Took  time.Duration `json:"took"`
	// Closed tells that the last use ended in order.
	Closed bool `json:"closed"`
	// Notes are for people and are no damage.
	Notes []string `json:"notes,omitempty"`
}

// examination is one check of one database that nobody has open.
type examination struct {
	path    string
	acked   string // file of the last acknowledged revision, or empty
	full    bool   // compare indexes with tables however large the file
	witness *witness
	last    last
	log     walLook
	told    int64 // last revision that is known to have been acknowledged
	exact   bool  // told is the very last, not one before it
	finding Finding
}

// Check examines the database at path, which nobody may have open, without
// changing it. volatileDir is where [Config.VolatileDir] leads. Errors wrap
// [ErrDamaged] when something is wrong with it, and [ErrLoss] when only
// changes are missing.
func Check(ctx context.Context, path, volatileDir string, full bool) (Finding, error) {
	begin := time.Now()
	e := &examination{path: path, acked: ackedFile(volatileDir), full: full}
	err := e.run(ctx)
	e.finding.Took = time.Since(begin)
	return e.finding, err
}

func (e *examination) run(ctx context.Context) error {
	var spoilt error
	if e.witness, spoilt = readWitness(e.path); spoilt != nil && !errors.Is(spoilt, ErrDamaged) {
		return spoilt
	}
	for _, step := range []func(context.Context) error{e.present, e.known, e.logLooks, e.closedFile, e.sqlite, e.owned, e.complete} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return spoilt
}

// present finds files that are gone or empty.
func (e *examination) present(context.Context) error {
	st, err := os.Stat(e.path)
	switch {
	case errors.Is(err, os.ErrNotExist) && exists(e.path+"-wal"):
		return damage(e.path, "the file is missing but its log is there")
	case errors.Is(err, os.ErrNotExist):
		return damage(e.path, "the file is missing")
	case err != nil:
		return fmt.Errorf("check database: %w", err)
	case !st.Mode().IsRegular():
		return damage(e.path, "it is no regular file")
	case st.Size() == 0:
		return damage(e.path, "the file is empty")
	}
	e.finding.Bytes = st.Size()
	e.full = e.full || st.Size() <= fullCheckBelow || exists(e.path+".in-use")
	return nil
}

// known collects how far the database was.
func (e *examination) known(context.Context) error {
	if e.witness == nil {
		e.finding.Notes = append(e.finding.Notes, "nothing is known of its last use: only what SQLite itself can see was checked")
		return nil
	}
	e.told, e.last = e.witness.Revision, readLast(e.path)
	if e.last.ID == e.witness.ID {
		e.told = max(e.told, e.last.Revision)
	}
	e.finding.Closed = e.witness.State == stateClosed
	last, err := readAcked(e.acked, e.witness.ID)
	if err != nil {
		return err
	}
	e.exact = last > 0 || e.finding.Closed
	e.told = max(e.told, last)
	e.finding.Acknowledged = e.told
	return nil
}

// logLooks finds a log that is not this database's, or not whole.
func (e *examination) logLooks(context.Context) error {
	var err error
	if e.log, err = lookAtWAL(e.path + "-wal"); err != nil {
		return err
	}
	log, w := e.path+"-wal", e.witness
	switch {
	case e.log.empty():
		return nil // what that means is seen from the revision
	case w != nil && w.State == stateClosed:
		return damage(log, fmt.Sprintf("the database was closed without a log at %s, so this one is not of it", w.At.Format(time.RFC3339)))
	case !e.log.header:
		return damage(log, "its header is damaged, so nothing in it can be read")
	case e.log.lost && e.exact:
		return nil // how far it must reach is known, so its end says nothing
	case e.log.lost && w != nil && w.Relaxed:
		e.finding.Notes = append(e.finding.Notes, fmt.Sprintf("the last %d bytes of the log are not whole: a power cut takes what was not on the disk yet, as --datastore-durability=normal allows", e.log.rest))
	case e.log.lost:
		return lossOf(log, fmt.Sprintf("it is damaged after transaction %d, and at least %d later ones follow", e.log.commits, e.log.later))
	case e.log.rest > 0 && !e.exact:
		e.finding.Notes = append(e.finding.Notes, fmt.Sprintf("the last %d bytes of the log are an unfinished transaction: normal after a power cut, since nobody was told of it", e.log.rest))
	}
	return nil
}

// closedFile compares a file that was closed in order with what it was then.
func (e *examination) closedFile(ctx context.Context) error {
	w := e.witness
	if w == nil || w.State != stateClosed {
		return nil
	}
	size, sum, summed, err := sumFile(e.path, maxSummed)
	if err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	if size == w.Size && (!summed || !w.Summed || sum == w.Sum) {
		return nil
	}
	// SQLite knows more of what is wrong, unless only a value has changed.
	e.full = true
	if err := e.sqlite(ctx); err != nil {
		return err
	}
	return changed(e.path, fmt.Sprintf("bytes in it have changed since it was closed at %s with %d of them, now %d; SQLite itself has no sums and finds nothing (an older kedge that ran meanwhile does that too)",
		w.At.Format(time.RFC3339), w.Size, size))
}

// sqlite has SQLite itself look.
func (e *examination) sqlite(ctx context.Context) error {
	return checkSQLite(ctx, e.path, e.full)
}

// owned finds databases that kedge did not make.
func (e *examination) owned(ctx context.Context) (err error) {
	db, err := openSQLite(ctx, e.path, true)
	if err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var id, page, mark, tables int64
	err = db.QueryRowContext(ctx, "SELECT (SELECT * FROM pragma_application_id), (SELECT * FROM pragma_page_size), (SELECT * FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema WHERE name = 'kine')").
		Scan(&id, &page, &mark, &tables)
	switch {
	case err != nil:
		return fmt.Errorf("check database %s: %w", e.path, err)
	case id != applicationID:
		return damage(e.path, "it is a database of another program")
	case page != durablePageSize:
		return damage(e.path, fmt.Sprintf("its pages have %d bytes, kedge's have %d: another program has rewritten it", page, durablePageSize))
	case e.witness != nil && e.witness.Mark != 0 && e.witness.Mark != mark && !e.log.empty():
		return damage(e.path+"-wal", "it is the log of another database")
	case e.witness != nil && e.witness.Mark != 0 && e.witness.Mark != mark:
		return damage(e.path, "it is another database than the one that was here")
	case tables == 0 && e.told > 0:
		return lossOf(e.path, "it is empty")
	case tables == 0:
		return nil
	}
	var last sql.NullInt64
	if err := db.QueryRowContext(ctx, "SELECT MAX(id) FROM kine").Scan(&last); err != nil {
		return fmt.Errorf("check database %s: %w", e.path, err)
	}
	e.finding.Revision = last.Int64
	return nil
}

// complete finds changes that are missing although all that is there is sound.
func (e *examination) complete(context.Context) error {
	w, log := e.witness, e.path+"-wal"
	if w == nil {
		return nil
	}
	if e.last.ID != "" && e.last.ID != w.ID && !w.Announced {
		return changed(e.path, "it is not the database that was in use here last, and what has seen that one would not notice")
	}
	if have := e.finding.Revision; have < e.told {
		return lossOf(e.path, fmt.Sprintf("it ends at revision %d, but %d was acknowledged%s", have, e.told, e.suspect()))
	}
	// Without the memory of this boot nobody can say how far the log was.
	if w.State == stateOpen && e.log.empty() && !w.Resetting && !e.exact {
		what := "it is missing"
		if !e.log.missing {
			what = "it is empty"
		}
		return lossOf(log, what+", and the database was not closed: what was written after revision "+fmt.Sprint(w.Revision)+" is lost")
	}
	return nil
}

func (e *examination) suspect() string {
	switch {
	case e.witness.State == stateClosed:
		return ": it is an older copy"
	case e.log.missing:
		return ": its log " + filepath.Base(e.path) + "-wal is missing"
	default:
		return ": its log " + filepath.Base(e.path) + "-wal is cut or damaged, or both are an older copy"
	}
}

func damage(path, what string) error {
	return fmt.Errorf("%w: %s: %s", ErrDamaged, path, what)
}

// changed is about a database that is sound in itself.
func changed(path, what string) error {
	return fmt.Errorf("%w: %w: %s: %s", ErrDamaged, ErrChanged, path, what)
}

func lossOf(path, what string) error {
	return fmt.Errorf("%w: %w: %s: %s", ErrDamaged, ErrLoss, path, what)
}

// damaged names what SQLite found.
func damaged(path string, found []string) error {
	more := ""
	if len(found) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(found)-1)
	}
	return damage(path, strings.TrimSpace(found[0])+more)
}

// advise adds to the error about a damaged database what helps. offer names
// the last good snapshot with the command that restores it.
func advise(path, offer string, err error) error {
	if offer == "" {
		offer = "There is no snapshot on this host; one that is kept elsewhere is restored by kedge snapshot restore FILE"
	}
	more := ""
	if errors.Is(err, ErrLoss) || errors.Is(err, ErrChanged) {
		more = ". To go on with the database as it is, and lose what is missing: kedge datastore accept"
	}
	return fmt.Errorf("%w. Nothing was changed. %s. It keeps what is in %s aside%s", err, offer, filepath.Dir(path), more)
}
