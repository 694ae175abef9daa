package snapshot

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Suffix ends the name of every snapshot; what ends otherwise is none.
const Suffix = ".tar.zst"

const (
	// DefaultName begins the names of scheduled snapshots.
	DefaultName = "scheduled"
	// OnDemand begins the names of those that a person asked for, unless another
	// name was given.
	OnDemand = "on-demand"
	// maxName keeps whole file names below 255 bytes, with a node of 63 or more.
	maxName = 60
)

// timeFormat is RFC 3339's basic form, which sorts and needs no quoting anywhere.
const timeFormat = "20060102T150405Z"

// fileName is the name of a snapshot. again counts from 2 for those of the same
// second.
func fileName(name, node string, at time.Time, again int) string {
	base := name + "-" + node + "-" + at.UTC().Format(timeFormat)
	if again > 1 {
		base += fmt.Sprintf("-%d", again)
	}
	return base + Suffix
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._]*(-[A-Za-z0-9._]+)*$`)

// CheckName reports what makes name unusable as the first part of file names.
func CheckName(name string) error {
	if len(name) > maxName || !namePattern.MatchString(name) {
		return fmt.Errorf("snapshot name %.80q: expected up to %d letters, digits, dots, underscores and single dashes, such as before-upgrade", name, maxName)
	}
	return nil
}

// stamped splits what [fileName] made from the time on.
var stamped = regexp.MustCompile(`^(.+)-[0-9]{8}T[0-9]{6}Z(?:-[0-9]+)?$`)

// Node says whether file, by its name, is a snapshot of node. Names and nodes may
// both have dashes, so one of the node a may be called as one of the node b-a: then
// sure is false, and only the manifest can tell.
func Node(file, node string) (of, sure bool) {
	base, ok := strings.CutSuffix(file, Suffix)
	parts := stamped.FindStringSubmatch(base)
	if !ok || parts == nil {
		return false, true
	}
	name, ok := strings.CutSuffix(parts[1], "-"+node)
	if !ok || CheckName(name) != nil {
		return false, true
	}
	return true, !strings.Contains(name, "-")
}

// CheckFile reports a name that cannot be that of a snapshot in a folder. It keeps
// paths out.
func CheckFile(name string) error {
	if strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") || !strings.HasSuffix(name, Suffix) || name == Suffix {
		return fmt.Errorf("snapshot %.80q: expected the name of a file ending in %s, as kedge snapshot list shows it", name, Suffix)
	}
	return nil
}
